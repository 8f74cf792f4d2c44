/* Settings, counted calls, planted faults and the faults found. */
#include "sim/machine.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

namespace
{

struct State {
    std::mutex lock;
    sim::Settings settings{ IQT_SIM_FORWARD, 1, false };
    std::string fault_function;
    uint32_t fault_in = 0; /* matching calls until the planted fault; 0: none */
    int fault_error = 0;
    std::vector<const char *> calls;
    uint32_t faults = 0;
    std::string text;
    int live[SIM_PROGRAM + 1] = {};
    State();
};

const char *const order_names[] = { "forward", "reverse", "stride", "random" };

void read_order(sim::Settings *s, const std::string &value)
{
    const size_t colon = value.find(':');

    for (int i = 0; i < 4; i++)
        if (value.compare(0, colon, order_names[i]) == 0)
            s->order = static_cast<iqt_sim_order>(i);
    if (colon != std::string::npos)
        s->seed = strtoull(value.c_str() + colon + 1, nullptr, 0);
}

State::State()
{
    const std::string fault = sim::variable("IQT_SIM_FAULT", "");
    const size_t one = fault.find(':'), two = fault.find(':', one + 1);

    read_order(&settings, sim::variable("IQT_SIM_ORDER", "forward"));
    settings.check = sim::variable("IQT_SIM_CHECK", "0") == "1";
    if (one == std::string::npos || two == std::string::npos)
        return;
    fault_function = fault.substr(0, one);
    fault_in = static_cast<uint32_t>(atoi(fault.c_str() + one + 1));
    fault_error = atoi(fault.c_str() + two + 1);
}

State &state()
{
    static State s;
    return s;
}

} // namespace

std::string sim::variable(const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    return value != nullptr && *value != '\0' ? value : otherwise;
}

sim::Settings sim::settings()
{
    const std::lock_guard<std::mutex> guard(state().lock);
    return state().settings;
}

int sim_enter(const char *function)
{
    State &s = state();
    const std::lock_guard<std::mutex> guard(s.lock);

    s.calls.push_back(function);
    if (s.fault_in == 0 || (!s.fault_function.empty() && s.fault_function != function) ||
        --s.fault_in > 0)
        return 0;
    return s.fault_error;
}

void sim_report(const char *format, ...)
{
    State &s = state();
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    {
        const std::lock_guard<std::mutex> guard(s.lock);
        s.faults++;
        s.text = text;
    }
    if (sim::variable("IQT_SIM_QUIET", "0") != "1")
        fprintf(stderr, "simulated GPU: %s\n", text);
}

void sim_count(enum sim_object kind, int change)
{
    const std::lock_guard<std::mutex> guard(state().lock);
    state().live[kind] += change;
}

/* ---- For tests ---- */

void iqt_sim_set_order(enum iqt_sim_order order, uint64_t seed)
{
    const std::lock_guard<std::mutex> guard(state().lock);
    state().settings.order = order;
    state().settings.seed = seed;
}

void iqt_sim_set_check(int on)
{
    const std::lock_guard<std::mutex> guard(state().lock);
    state().settings.check = on != 0;
}

void iqt_sim_set_fault(const char *function, uint32_t nth, int error)
{
    const std::lock_guard<std::mutex> guard(state().lock);
    state().fault_function = function;
    state().fault_in = nth;
    state().fault_error = error;
}

uint64_t iqt_sim_calls(void)
{
    const std::lock_guard<std::mutex> guard(state().lock);
    return state().calls.size();
}

void iqt_sim_calls_reset(void)
{
    const std::lock_guard<std::mutex> guard(state().lock);
    state().calls.clear();
}

const char *iqt_sim_call_name(uint64_t i)
{
    const std::lock_guard<std::mutex> guard(state().lock);
    return i < state().calls.size() ? state().calls[i] : nullptr;
}

struct iqt_sim_live iqt_sim_live(void)
{
    const std::lock_guard<std::mutex> guard(state().lock);
    const int *n = state().live;
    const auto u = [](int count) { return static_cast<uint32_t>(count); };

    return { u(n[SIM_CONTEXT]),    u(n[SIM_STREAM]), u(n[SIM_EVENT]),  u(n[SIM_MODULE]),
             u(n[SIM_ALLOCATION]), u(n[SIM_GRAPH]),  u(n[SIM_PROGRAM]) };
}

uint32_t iqt_sim_faults(void)
{
    const std::lock_guard<std::mutex> guard(state().lock);
    return state().faults;
}

const char *iqt_sim_fault_text(void)
{
    static thread_local std::string copy;
    const std::lock_guard<std::mutex> guard(state().lock);

    copy = state().text;
    return copy.c_str();
}

void iqt_sim_faults_reset(void)
{
    const std::lock_guard<std::mutex> guard(state().lock);
    state().faults = 0;
    state().text.clear();
}

std::string sim::format(const char *text, ...)
{
    char out[320];
    va_list args;

    va_start(args, text);
    vsnprintf(out, sizeof out, text, args);
    va_end(args);
    return out;
}
