/* Preloaded into a process that probes operators: while `guarding` is set, every allocation lies between pages that
   nobody may touch, so that an access beyond it is a crash, and not a wrong value. Freed memory is not used again. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096UL
#define SPACE (1UL << 42)
#define LARGEST (1UL << 29)

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

int guarding;
int at_the_start; /* whether a block begins at its first page (catches what reads before it) or ends at its last */

static char *space;
static uintptr_t used;
static size_t *sizes; /* by the number of the page where a block begins */

static int is_guarded(const void *block) {
    return space && (const char *)block >= space && (const char *)block < space + SPACE;
}

static size_t page_of(const void *block) { return ((const char *)block - space) / PAGE; }

static void *guarded(size_t size, size_t alignment) {
    if (size > LARGEST || alignment > PAGE) return NULL;
    if (!space) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        sizes = mmap(NULL, SPACE / PAGE * sizeof(size_t), PROT_READ | PROT_WRITE, flags, -1, 0);
        space = mmap(NULL, SPACE, PROT_NONE, flags, -1, 0);
    }
    if (alignment > 16) alignment = 16; /* what torch asks for would hide accesses up to 63 bytes beyond */
    size_t rounded = (size + alignment - 1) / alignment * alignment;
    size_t pages = (rounded + PAGE - 1) / PAGE + (rounded == 0);
    char *first = space + __atomic_fetch_add(&used, (pages + 1) * PAGE, __ATOMIC_SEQ_CST) + PAGE;
    mprotect(first, pages * PAGE, PROT_READ | PROT_WRITE);
    char *block = at_the_start ? first : first + pages * PAGE - rounded;
    if (!at_the_start && rounded == 0) block = first;
    sizes[page_of(block)] = size;
    return block;
}

static void release(void *block) {
    size_t page = page_of(block), pages = (sizes[page] + 2 * PAGE - 1) / PAGE;
    madvise(space + page * PAGE, pages * PAGE, MADV_DONTNEED);
    mprotect(space + page * PAGE, pages * PAGE, PROT_NONE);
}

void *malloc(size_t size) { return guarding ? guarded(size, 16) : __libc_malloc(size); }

void free(void *block) {
    if (is_guarded(block))
        release(block);
    else
        __libc_free(block);
}

void *calloc(size_t count, size_t size) {
    if (!guarding) return __libc_calloc(count, size);
    return size && count > LARGEST / size ? NULL : guarded(count * size, 16);
}

void *realloc(void *block, size_t size) {
    if (!guarding && !is_guarded(block)) return __libc_realloc(block, size);
    void *moved = malloc(size);
    if (!moved || !block) return moved;
    size_t old = is_guarded(block) ? sizes[page_of(block)] : size;
    if (is_guarded(block))
        memcpy(moved, block, old < size ? old : size);
    else {
        int before = guarding;
        guarding = 0;
        void *grown = __libc_realloc(block, size);
        guarding = before;
        memcpy(moved, grown, size);
        block = grown;
    }
    free(block);
    return moved;
}

void *memalign(size_t alignment, size_t size) {
    return guarding ? guarded(size, alignment) : __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **block, size_t alignment, size_t size) {
    *block = memalign(alignment, size);
    return *block ? 0 : ENOMEM;
}

size_t malloc_usable_size(void *block) {
    extern void *dlsym(void *, const char *);
    if (is_guarded(block)) return sizes[page_of(block)];
    return block ? ((size_t *)block)[-1] & ~7UL ? (((size_t *)block)[-1] & ~7UL) - sizeof(size_t) : 0 : 0;
}
