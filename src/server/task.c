#include "task.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

double task_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

task_phases task_phases_of(const task *j)
{
    double end = task_ended(j->state) ? j->times.ended : task_now(), first = j->times.first > 0 ? j->times.first : end;
    return (task_phases){first - j->times.started, end - first};
}

task *task_new(void)
{
    task *j = calloc(1, sizeof *j);
    if (!j) return NULL;
    atomic_store(&j->owners, 1);
    pthread_mutex_init(&j->lock, NULL);
    j->p = (task_params){.sampling = sampler_params_default(), .max_tokens = -1, .n_top = -1, .slot = -1};
    j->fd = j->slot = -1;
    return j;
}

void task_hold(task *j) { atomic_fetch_add(&j->owners, 1); }

/* The sampler's arrays are const to the sampler, but the task's own. */
static void free_const(const void *p)
{
    union {
        const void *in;
        void *out;
    } u = {.in = p};
    free(u.out);
}

void task_drop(task *j)
{
    if (!j || atomic_fetch_sub(&j->owners, 1) != 1) return;
    for (int i = 0; i < j->p.n_stop; i++) free(j->p.stop[i]);
    for (int i = 0; i < j->p.sampling.n_dry_breakers; i++) free_const(j->p.sampling.dry_breakers[i]);
    if (j->p.sampling.n_dry_breakers) free_const(j->p.sampling.dry_breakers);
    free_const(j->p.sampling.bias);
    free(j->p.stop);
    grammar_drop(j->p.grammar);
    tok_vec_free(&j->prompt);
    buf_free(&j->text);
    free(j->tokens);
    free(j->top);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

bool task_add_stop(task *j, const char *text, size_t n)
{
    if (n == 0) return true;
    char **more = j->p.n_stop < TASK_MAX_STOPS ? realloc(j->p.stop, ((size_t)j->p.n_stop + 1) * sizeof *more) : NULL;
    if (!more) return false;
    j->p.stop = more;
    if (!(more[j->p.n_stop] = strndup(text, n))) return false;
    j->p.n_stop++;
    return true;
}

/* The first stop text in what is not ready yet. */
static bool find_stop(task *j)
{
    char *from = j->text.data + j->ready, *first = NULL;
    size_t left = j->text.size - j->ready;
    for (int i = 0; i < j->p.n_stop; i++) {
        char *at = memmem(from, left, j->p.stop[i], strlen(j->p.stop[i]));
        if (!at || (first && at >= first)) continue;
        first = at;
        j->stop_word = i;
    }
    if (!first) return false;
    j->text.size = (size_t)(first - j->text.data);
    *first = 0;
    j->ready = j->text.size;
    return true;
}

/* How much of the end could be the beginning of a stop text. */
static size_t held_back(const task *j)
{
    size_t most = 0, left = j->text.size - j->ready;
    const char *end = j->text.data + j->text.size;
    for (int i = 0; i < j->p.n_stop; i++) {
        size_t n = strlen(j->p.stop[i]);
        for (size_t k = n - 1 < left ? n - 1 : left; k > most; k--)
            if (memcmp(end - k, j->p.stop[i], k) == 0) most = k;
    }
    return most;
}

static bool grow(void *array, size_t need, size_t *cap, size_t size)
{
    void *p;
    if (need <= *cap) return true;
    size_t n = *cap ? 2 * *cap : 64;
    if (n < need) n = need;
    memcpy(&p, array, sizeof p);
    if (!(p = realloc(p, n * size))) return false;
    memcpy(array, &p, sizeof p);
    *cap = n;
    return true;
}

bool task_put(task *j, tawny_token t, const char *text, size_t n, const task_top *chosen, const task_top *top, int n_top)
{
    pthread_mutex_lock(&j->lock);
    bool ok = (n == 0 || buf_add(&j->text, text, n)) && grow(&j->tokens, j->n_tokens + 1, &j->cap_tokens, sizeof *j->tokens) &&
              grow(&j->top, j->n_tops + (size_t)n_top, &j->cap_tops, sizeof *j->top);
    if (!ok) {
        j->state = TASK_FAILED;
        err_nomem(&j->error);
        pthread_mutex_unlock(&j->lock);
        return false;
    }
    if (!j->n_tokens) j->times.first = task_now();
    bool stop = j->text.data && find_stop(j);
    if (!stop && j->text.data) j->ready = j->text.size - held_back(j);
    j->tokens[j->n_tokens++] = (task_token){.id = t, .text_end = j->text.size, .logprob = chosen ? chosen->logprob : 0, .n_top = n_top,
                                           .top = (int)j->n_tops};
    if (n_top) memcpy(j->top + j->n_tops, top, (size_t)n_top * sizeof *top);
    j->n_tops += (size_t)n_top;
    pthread_mutex_unlock(&j->lock);
    return stop;
}

void task_end(task *j, task_state s)
{
    pthread_mutex_lock(&j->lock);
    if (!task_ended(j->state)) {
        j->state = s;
        j->ready = j->text.size;
        j->times.ended = task_now();
    }
    pthread_mutex_unlock(&j->lock);
}

void task_fail(task *j, const tawny_error *err)
{
    pthread_mutex_lock(&j->lock);
    if (!task_ended(j->state)) {
        j->error = *err;
        j->state = TASK_FAILED;
        j->times.ended = task_now();
    }
    pthread_mutex_unlock(&j->lock);
}
