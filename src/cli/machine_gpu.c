/* A GPU, as the output of gpu-bandwidth and the kernel describe it. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "../base/file.h"
#include "machines.h"
#include "tree.h"

#define GIB ((double)(1 << 30))

typedef struct memory_of {
    const tree *t;
    double own, gtt; /* of the card that has most */
} memory_of;

static void see_card(void *user, const char *name)
{
    memory_of *m = user;
    char path[160];
    snprintf(path, sizeof path, "/sys/class/drm/%.40s/device/mem_info_vram_total", name);
    double own = (double)tree_number(m->t, path, 0);
    if (own <= m->own) return;
    snprintf(path, sizeof path, "/sys/class/drm/%.40s/device/mem_info_gtt_total", name);
    m->own = own;
    m->gtt = (double)tree_number(m->t, path, 0);
}

static tawny_status wrong(const char *path, const char *what, tawny_error *err)
{
    return err_set(err, TAWNY_E_FORMAT, "%.200s: no output of gpu-bandwidth --json: %s", path, what);
}

tawny_status machine_gpu(const char *path, machine *out, tawny_error *err)
{
    enum { MOST = 1 << 16 };
    static char label[96];
    const tree here = {""};
    memory_of m = {.t = &here};
    buf b = {0};
    tawny_status st = file_read(path, MOST, &b, err);
    json_t *j = st == TAWNY_OK ? json_loadb(b.data ? b.data : "", b.size, 0, NULL) : NULL;
    const json_t *read = json_object_get(j, "read");
    const char *type = json_string_value(json_object_get(j, "type")),
               *name = json_string_value(json_object_get(j, "device"));
    double low = json_number_value(json_object_get(read, "min")),
           high = json_number_value(json_object_get(read, "max"));
    if (st == TAWNY_OK && !j) st = wrong(path, "not JSON", err);
    if (st == TAWNY_OK && (!type || !name)) st = wrong(path, "'device' or 'type' is missing", err);
    if (st == TAWNY_OK && !(low > 0 && high >= low)) st = wrong(path, "'read' is missing or no bandwidth", err);
    if (st == TAWNY_OK) {
        bool integrated = strcmp(type, "integrated") == 0, software = strcmp(type, "cpu") == 0;
        tree_each(&here, "/sys/class/drm", see_card, &m);
        double gib = software ? machine_memory_gib() : (m.own + (integrated ? m.gtt : 0)) / GIB;
        snprintf(label, sizeof label, software ? "%.40s: no GPU but the CPU, measured" : "%.60s, measured", name);
        /* Decode reaches 85 to 100 per cent of what a plain stream does; the arithmetic was not measured. */
        *out = (machine){"gpu",
                         label,
                         software ? MACHINE_CPU : integrated ? MACHINE_IGPU : MACHINE_GPU,
                         gib,
                         gib,
                         0,
                         0.85 * low,
                         high,
                         0,
                         0,
                         "measured by gpu-bandwidth"};
    }
    json_decref(j);
    buf_free(&b);
    return st;
}
