/* Counts executed instructions under QEMU, by symbol: a plugin for its user and system emulators.
 *
 *   gcc -O2 -shared -fPIC -o insns.so insns.c            QEMU 7 and 8; add -DAPI=4 for QEMU 9 and later
 *   qemu-aarch64 -plugin ./insns.so,out=FILE PROGRAM     one line a symbol: instructions, name; first the total
 *
 * A block of translated code adds its length whenever it is entered. Single-threaded programs; the result repeats exactly.
 * The few declarations of the plugin interface are written out, so that no header of QEMU is needed. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef API
#define API 1
#endif
#define EXPORT __attribute__((visibility("default")))

struct tb;
struct insn;
size_t qemu_plugin_tb_n_insns(const struct tb *);
struct insn *qemu_plugin_tb_get_insn(const struct tb *, size_t);
const char *qemu_plugin_insn_symbol(const struct insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t, void (*)(uint64_t, struct tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct tb *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_atexit_cb(uint64_t, void (*)(uint64_t, void *), void *);

EXPORT int qemu_plugin_version = API;

struct symbol {
    struct symbol *next;
    uint64_t insns;
    char name[];
};

struct block {
    struct symbol *symbol;
    uint64_t insns;
};

static struct symbol *symbols[4096];
static const char *out = "insns.txt";

static struct symbol *find(const char *name)
{
    unsigned hash = 5381;
    for (const char *c = name; *c; c++)
        hash = hash * 33 + (unsigned char)*c;
    struct symbol **at = &symbols[hash % 4096];
    while (*at && strcmp((*at)->name, name))
        at = &(*at)->next;
    if (!*at) {
        *at = calloc(1, sizeof **at + strlen(name) + 1);
        strcpy((*at)->name, name);
    }
    return *at;
}

static void entered(unsigned cpu, void *data)
{
    struct block *block = data;
    (void)cpu;
    block->symbol->insns += block->insns;
}

static void translated(uint64_t id, struct tb *tb)
{
    struct block *block = malloc(sizeof *block);
    const char *name = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0));
    (void)id;
    block->symbol = find(name && *name ? name : "-");
    block->insns = qemu_plugin_tb_n_insns(tb);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, entered, 0, block);
}

static void finished(uint64_t id, void *data)
{
    uint64_t total = 0;
    FILE *f = fopen(out, "w");
    (void)id, (void)data;
    if (!f) {
        perror(out);
        return;
    }
    for (int i = 0; i < 4096; i++)
        for (struct symbol *s = symbols[i]; s; s = s->next)
            total += s->insns;
    fprintf(f, "%" PRIu64 " total\n", total);
    for (int i = 0; i < 4096; i++)
        for (struct symbol *s = symbols[i]; s; s = s->next)
            if (s->insns)
                fprintf(f, "%" PRIu64 " %s\n", s->insns, s->name);
    fclose(f);
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            out = strdup(argv[i] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finished, NULL);
    return 0;
}
