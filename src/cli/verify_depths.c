/* Which depths `tawny verify` asks about, and which it leaves out. */
#include <stdio.h>
#include <string.h>

#include "verify.h"

enum { WARM = 40 };
static const int32_t usual[] = {64, 512, 1024, 2048, 4096, 8192, 16384};

void verify_add_depth(verify_result *v, int32_t depth, bool fresh, int32_t most)
{
    int at = 0;
    if (depth < 2 || depth > most) return;
    while (at < v->n_depths && v->depths[at].depth < depth) at++;
    if (at < v->n_depths && v->depths[at].depth == depth) {
        v->depths[at].fresh |= fresh;
        return;
    }
    if (v->n_depths == VERIFY_DEPTHS) return;
    memmove(&v->depths[at + 1], &v->depths[at], (size_t)(v->n_depths++ - at) * sizeof v->depths[0]);
    v->depths[at] = (verify_depth){.depth = depth, .fresh = fresh, .bad_pos = -1};
}

/* One prompt anew that is longer than a micro-batch and one that is as long as may be, the doublings in between out of the cache. */
static void plan_quick(verify_result *v, int32_t ubatch, int32_t most)
{
    verify_add_depth(v, 64, true, most);
    verify_add_depth(v, ubatch + 1, true, most);
    for (int64_t d = 2 * (int64_t)ubatch; d + ubatch <= most; d *= 2) verify_add_depth(v, (int32_t)d, false, most);
    verify_add_depth(v, most, true, most);
}

void verify_plan(verify_result *v, const verify_options *o, int32_t most)
{
    int32_t ubatch = o->ubatch;
    if (o->quick) {
        plan_quick(v, ubatch, most);
        return;
    }
    verify_add_depth(v, 64, true, most);
    for (int64_t d = 512; d <= most; d *= 2) verify_add_depth(v, (int32_t)d, true, most);
    for (int64_t d = ubatch; d <= most; d *= 2) {
        if (d <= 4 * (int64_t)ubatch) verify_add_depth(v, (int32_t)d - 1, true, most);
        verify_add_depth(v, (int32_t)d, true, most);
        verify_add_depth(v, (int32_t)d + 1, true, most);
    }
    for (int i = 1; i <= WARM && (int64_t)i * ubatch <= most; i++) {
        verify_add_depth(v, i * ubatch, false, most);
        verify_add_depth(v, i * ubatch + 1, false, most);
    }
    verify_add_depth(v, most, true, most);
}

void verify_leave_out(verify_result *v, int32_t wanted, int32_t most, const char *why)
{
    char list[96] = "";
    size_t n = 0;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        if (usual[i] <= most || usual[i] > wanted || v->n_left_out == VERIFY_USUAL) continue;
        v->left_out[v->n_left_out++] = usual[i];
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%d", n ? ", " : "", usual[i]);
    }
    if (most < wanted) snprintf(v->why_left_out, sizeof v->why_left_out, "%s%sprompts of more than %d tokens: %.300s", list, n ? " and other " : "", most, why);
}

double verify_done(const verify_result *v, int at)
{
    double before = 0, all = 0;
    for (int i = 0; i < v->n_depths; i++) {
        const verify_depth *d = &v->depths[i];
        double cost = d->fresh || i == 0 ? d->depth : d->depth - d[-1].depth;
        all += cost;
        if (i < at) before += cost;
    }
    return all > 0 ? before / all : 1;
}
