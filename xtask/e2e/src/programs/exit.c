/* Ends at once, with status 0. Without a C library, this is its only call. */
_Noreturn void _start(void)
{
    for (;;) __asm__ volatile("syscall" : : "a"(231L), "D"(0L) : "rcx", "r11", "memory");
}
