/* Waits for ever. Without a C library, `pause` is its only call. */
_Noreturn void _start(void)
{
    for (;;) {
        long number = 34;
        __asm__ volatile("syscall" : "+a"(number) : : "rcx", "r11", "memory");
    }
}
