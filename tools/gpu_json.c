/* A GPU report for machines: the same numbers as the page. Unknown numbers are absent. */
#include "tools/gpu_report.h"

#include "kernels/layout.h"

#include <stdlib.h>

static void set_text(json_t *o, const char *name, const char *value)
{
    json_object_set_new(o, name, json_string(value));
}

static void set_number(json_t *o, const char *name, double value)
{
    if (value > 0)
        json_object_set_new(o, name, json_real(value));
}

static void set_count(json_t *o, const char *name, uint64_t value)
{
    json_object_set_new(o, name, json_integer((json_int_t)value));
}

static json_t *device_of(const struct iqt_device_info *d)
{
    json_t *o = json_object();

    set_text(o, "spec", d->spec);
    set_text(o, "name", d->name);
    set_text(o, "driver", d->driver);
    set_text(o, "id", d->id);
    set_text(o, "arch", d->arch);
    set_text(o, "features", d->features);
    set_count(o, "memory_bytes", d->memory_bytes);
    set_count(o, "cache_bytes", d->cache_bytes);
    set_count(o, "compute_units", d->compute_units);
    return o;
}

static json_t *stages_of(const struct iqt_gpu_report *r)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < IQT_GPU_STAGES; i++) {
        const struct iqt_gpu_stage *s = &r->stage[i];
        json_t *o = json_object();

        set_text(o, "stage", iqt_gpu_stage_name(i));
        set_text(o, "state", iqt_gpu_state_name(s->state));
        set_text(o, "note", s->note);
        set_text(o, "command", s->command);
        json_object_set_new(o, "exit_status", json_integer(s->status));
        json_object_set_new(o, "seconds", json_real(s->seconds));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *copies_of(const struct iqt_gpu_report *r)
{
    json_t *o = json_object();

    for (uint32_t l = 0; l <= IQT_LAYOUT_PACKED; l++) {
        json_t *one = json_object();

        set_text(one, "method", r->method[l]);
        set_number(one, "bytes_per_second", r->copy[l]);
        json_object_set_new(o, iqt_layout_name(l), one);
    }
    return o;
}

static json_t *cell_of(const struct iqt_gpu_report *r, const struct iqt_gpu_budget *b,
                       const struct iqt_gpu_cell *c)
{
    json_t *o = json_object();

    set_text(o, "format", iqt_format_name(c->format));
    set_text(o, "layout", iqt_layout_name(c->layout));
    set_count(o, "m", c->m);
    set_count(o, "k", c->k);
    set_count(o, "n", c->n);
    if (c->error[0] != '\0') {
        set_text(o, "error", c->error);
        return o;
    }
    set_text(o, "plan", c->plan);
    set_number(o, "seconds", c->seconds);
    set_number(o, "bytes_per_second", c->rate);
    set_number(o, "percent_of_copy", c->percent);
    set_number(o, "nanoseconds_per_weight",
               c->seconds * 1e9 / ((double)c->m * (double)c->k));
    set_number(o, "speedup_over_default", c->gain);
    set_number(o, "slots_per_weight", c->slots);
    set_number(o, "predicted_seconds", iqt_gpu_predict(r, b, c));
    return o;
}

static json_t *slots_of(const struct iqt_gpu_report *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->slots; i++) {
        const struct iqt_gpu_slots *s = &r->slot[i];
        json_t *o = json_object();

        set_text(o, "plan", s->plan);
        set_number(o, "slots_per_weight", s->slots);
        set_number(o, "instructions_per_weight", s->instructions);
        set_count(o, "registers", s->registers);
        set_count(o, "spill_bytes", s->spill_bytes);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *verdicts_of(const struct iqt_gpu_report *r)
{
    json_t *list = json_array();

    for (uint32_t n = 1; n <= IQT_MAX_COLS; n++) {
        struct iqt_gpu_verdict v;
        json_t *o;

        iqt_gpu_verdict(r, n, &v);
        if (v.count == 0)
            continue;
        o = json_object();
        set_count(o, "n", n);
        set_count(o, "kernels", v.count);
        json_object_set_new(o, "rank_correlation", json_real(v.rank));
        set_number(o, "measured_over_predicted", v.ratio);
        set_number(o, "least", v.lo);
        set_number(o, "most", v.hi);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *tree_of(const struct iqt_gpu_report *r)
{
    json_t *root = json_object(), *facts = json_object(), *results = json_array();
    const char *word = iqt_gpu_disclaimer(r);
    struct iqt_gpu_budget b;

    iqt_gpu_budget(r, &b);
    set_text(root, "iqtile", iqt_version());
    set_text(root, "kind", word[0] == '\0' ? "measured" : word);
    json_object_set_new(root, "complete", json_boolean(iqt_gpu_report_good(r)));
    json_object_set_new(root, "device", device_of(&r->device));
    for (size_t i = 0; i < r->facts; i++)
        set_text(facts, r->fact[i].name, r->fact[i].value);
    json_object_set_new(root, "facts", facts);
    json_object_set_new(root, "stages", stages_of(r));
    json_object_set_new(root, "copy", copies_of(r));
    set_number(root, "slots_per_second", b.slots);
    for (size_t i = 0; i < r->cells; i++)
        json_array_append_new(results, cell_of(r, &b, &r->cell[i]));
    json_object_set_new(root, "results", results);
    json_object_set_new(root, "slot_model", verdicts_of(r));
    json_object_set_new(root, "stats", slots_of(r));
    return root;
}

enum iqt_status iqt_gpu_json(struct iqt_buf *b, const struct iqt_gpu_report *r)
{
    json_t *root = tree_of(r);
    char *text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9));

    json_decref(root);
    if (text == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the JSON of a report");
    iqt_buf_printf(b, "%s\n", text);
    free(text);
    return IQT_OK;
}
