/* The program of the image hello-world: prints a greeting and ends. No C library, so that the image is a few kilobytes. */

static const char text[] =
    "\n"
    "Hello from Gantry.\n"
    "\n"
    "You are reading this, so all parts of your installation did their work:\n"
    "\n"
    "  1. The client asked the daemon to run the image, and started a daemon if none answered.\n"
    "  2. The daemon took the image from its store; this one travels with the package.\n"
    "  3. The daemon planned the container, and its launcher forked a shim for it.\n"
    "  4. The shim made namespaces, limits and mounts, and this program ran inside them.\n"
    "  5. The shim recorded this text, and the daemon streamed it to your terminal.\n"
    "\n"
    "Next, give it an image of your own:\n"
    "\n"
    "  tar -C ROOTFS -c . | gantry import - mine\n"
    "  gantry run --rm -it mine sh\n"
    "\n";

static long call(long number, long a, long b, long c) {
#if defined(__x86_64__)
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
#else
#error "no system call convention for this architecture"
#endif
}

#if defined(__x86_64__)
enum { nr_write = 1, nr_exit = 60 };
#else
enum { nr_write = 64, nr_exit = 93 };
#endif

__attribute__((noreturn)) void _start(void) {
  const char *at = text;
  long left = sizeof text - 1;
  long status = 0;
  while (left > 0) {
    long wrote = call(nr_write, 1, (long)at, left);
    if (wrote == -4) continue; /* EINTR */
    if (wrote <= 0) {
      status = 1;
      break;
    }
    at += wrote;
    left -= wrote;
  }
  for (;;) call(nr_exit, status, 0, 0);
}
