/* Fibers: stacks with a switch between them, one per GPU thread. */
#ifndef IQT_SIM_FIBER_H
#define IQT_SIM_FIBER_H

#include <cstddef>
#include <cstdint>

namespace sim
{

/* A stack that is kept and used again. Memory is taken as it is touched. */
class Fiber
{
  public:
    Fiber() = default;
    ~Fiber();
    Fiber(const Fiber &) = delete;
    Fiber &operator=(const Fiber &) = delete;

    /* Prepares a run of entry(), which must never return. False without memory. */
    bool start(void (*entry)());
    /* Runs it until it switches back. */
    void enter(Fiber *from);
    /* From inside: back to whom? */
    void leave(Fiber *to)
    {
        to->enter(this);
    }
    bool on_stack(const void *p) const
    {
        return stack_ != nullptr && p >= stack_ && p < stack_ + STACK;
    }

  private:
    enum { STACK = 256 << 10 };
    uint8_t *stack_ = nullptr;
    void *context_ = nullptr; /* saved stack pointer, or a ucontext */
};

} // namespace sim

#endif
