/* The switch itself: callee-saved registers on the stack on x86-64, ucontext elsewhere. */
#include "sim/fiber.h"

#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__x86_64__)
extern "C" void sim_switch(void **from, void *to);
asm(".text\n"
    ".type sim_switch,@function\n"
    "sim_switch:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    ret\n"
    ".size sim_switch,.-sim_switch\n");

enum { SAVED_REGISTERS = 6 };
#endif

sim::Fiber::~Fiber()
{
    if (stack_ != nullptr)
        munmap(stack_, STACK);
#if !defined(__x86_64__)
    free(context_);
#endif
}

bool sim::Fiber::start(void (*entry)())
{
    if (stack_ == nullptr) {
        void *p = mmap(nullptr, STACK, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (p == MAP_FAILED)
            return false;
        stack_ = static_cast<uint8_t *>(p);
    }
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(stack_, STACK); /* left by a fiber that was abandoned */
#endif
#if defined(__x86_64__)
    /* As after a call: the entry's return address, then 16-byte alignment less 8. */
    void **top = reinterpret_cast<void **>(stack_ + STACK) - 1;

    *top = nullptr;
    *--top = reinterpret_cast<void *>(entry);
    top -= SAVED_REGISTERS;
    memset(top, 0, SAVED_REGISTERS * sizeof *top);
    context_ = top;
#else
    auto *c = static_cast<ucontext_t *>(context_ != nullptr ? context_
                                                            : malloc(sizeof(ucontext_t)));

    if (c == nullptr)
        return false;
    context_ = c;
    getcontext(c);
    c->uc_stack.ss_sp = stack_;
    c->uc_stack.ss_size = STACK;
    c->uc_link = nullptr;
    makecontext(c, entry, 0);
#endif
    return true;
}

void sim::Fiber::enter(Fiber *from)
{
#if defined(__x86_64__)
    sim_switch(&from->context_, context_);
#else
    if (from->context_ == nullptr)
        from->context_ = malloc(sizeof(ucontext_t));
    if (from->context_ == nullptr)
        abort();
    swapcontext(static_cast<ucontext_t *>(from->context_),
                static_cast<ucontext_t *>(context_));
#endif
}
