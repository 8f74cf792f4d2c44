// The C face of Google Benchmark. The only C++ of bench: everything that is decided about a
// benchmark is decided in C.
#include "bench/shim.h"

#include <benchmark/benchmark.h>

#include <map>
#include <string>
#include <vector>

namespace
{

benchmark::State *of(struct iqt_gbench_state *state)
{
    return reinterpret_cast<benchmark::State *>(state);
}

std::map<std::string, void *> &users()
{
    static std::map<std::string, void *> map;
    return map;
}

// Hands each result to C instead of printing it.
class Reporter : public benchmark::BenchmarkReporter
{
  public:
    Reporter(iqt_gbench_result_fn fn, void *ctx) : fn_(fn), ctx_(ctx)
    {
    }

    bool ReportContext(const Context &) override
    {
        return true;
    }

    void ReportRuns(const std::vector<Run> &runs) override
    {
        for (const Run &run : runs) {
            if (run.run_type != Run::RT_Iteration)
                continue;
            const std::string name = run.run_name.function_name;
            const auto user = users().find(name);
            iqt_gbench_result result = {};

            result.name = name.c_str();
            result.user = user == users().end() ? nullptr : user->second;
            result.error = run.error_occurred ? run.error_message.c_str() : nullptr;
            result.iterations = run.iterations;
            if (run.iterations > 0)
                result.seconds = run.real_accumulated_time / double(run.iterations);
            fn_(ctx_, &result);
        }
    }

  private:
    iqt_gbench_result_fn fn_;
    void *ctx_;
};

} // namespace

extern "C" {

void iqt_gbench_register(const char *name, iqt_gbench_fn fn, void *user,
                         double min_seconds)
{
    users()[name] = user;
    auto *made = benchmark::RegisterBenchmark(name, [fn, user](benchmark::State &state) {
        fn(reinterpret_cast<iqt_gbench_state *>(&state), user);
    });

    made->UseManualTime()->Unit(benchmark::kMicrosecond);
    if (min_seconds > 0)
        made->MinTime(min_seconds);
    else
        made->Iterations(3);
}

bool iqt_gbench_next(struct iqt_gbench_state *state)
{
    return of(state)->KeepRunning();
}

void iqt_gbench_time(struct iqt_gbench_state *state, double seconds)
{
    of(state)->SetIterationTime(seconds);
}

void iqt_gbench_counter(struct iqt_gbench_state *state, const char *name, double value,
                        bool per_second)
{
    of(state)->counters[name] = benchmark::Counter(
        value, per_second ? benchmark::Counter::kIsIterationInvariantRate
                          : benchmark::Counter::kDefaults);
}

void iqt_gbench_label(struct iqt_gbench_state *state, const char *text)
{
    of(state)->SetLabel(text);
}

void iqt_gbench_skip(struct iqt_gbench_state *state, const char *why)
{
    of(state)->SkipWithError(why);
}

void iqt_gbench_context(const char *key, const char *value)
{
    benchmark::AddCustomContext(key, value);
}

bool iqt_gbench_run(const char *json_path, iqt_gbench_result_fn fn, void *ctx)
{
    std::vector<std::string> text = { "iqtile" };
    std::vector<char *> args;
    Reporter reporter(fn, ctx);

    if (json_path != nullptr) {
        text.push_back(std::string("--benchmark_out=") + json_path);
        text.push_back("--benchmark_out_format=json");
    }
    for (std::string &word : text)
        args.push_back(&word[0]);
    int count = int(args.size());
    benchmark::Initialize(&count, args.data());
    const size_t ran = benchmark::RunSpecifiedBenchmarks(&reporter);
    benchmark::Shutdown();
    return ran > 0;
}
}
