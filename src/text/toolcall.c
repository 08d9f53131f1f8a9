#include <stdlib.h>
#include <string.h>

#include "toolcall_int.h"

enum {
    MAX_HELD = 16 << 20,
    MOST_FAILURES = 100, /* of reading calls: then all is text */
    MOST_HEADER = 200,   /* harmony: bytes of a header that begins with a word */
    MOST_HEAD = 1024     /* bytes of a call before its arguments, which are passed on as they come */
};

typedef enum state {
    AT_START, /* nothing but blanks so far */
    IN_THOUGHT,
    IN_TEXT,
    IN_CALL,   /* after an opening marker */
    IN_ARGUMENTS, /* which are passed on as they come */
    AFTER_CALL,   /* after them */
    IN_HEADER, /* harmony: between <|start|> and <|message|> */
    IN_BODY    /* harmony: after it */
} state;

struct answer {
    answer_format format;
    const json_t *tools;
    answer_events on;
    state at;
    buf held;          /* not passed on yet */
    bool skip_blanks;  /* what follows a thought or a call loses the blanks in front */
    const char *close; /* of the thought */
    bool to_reasoning; /* harmony: what the body is */
    char to[128];      /* harmony: the function called, "" where none */
    size_t calls, failures;
    size_t pushed, thought; /* bytes: in all, and up to the end of the last thought */
    const call_marks *marks; /* of the call that is being read */
    json_walk walk; /* through arguments, or what stands around them */
    size_t around;  /* JSON objects around them */
    size_t marker;  /* IN_CALL: bytes of the marker, which are held too */
    bool past;      /* AFTER_CALL: also the tail; harmony: the body's call, the rest of which is nothing */
    buf piece;      /* of arguments */
    size_t tried; /* bytes of a call in which no end was found */
};

static const char *const open_thought[] = {"<think>", "[THINK]", "<|channel>thought\n", "<|START_THINKING|>", NULL};
static const char *const close_thought[] = {"</think>", "[/THINK]", "<channel|>", "<|END_THINKING|>"};
static const char *const body_ends[] = {"<|end|>", "<|call|>", "<|return|>", "<|start|>", NULL};

static bool contains(const char *p, size_t n, const char *what) { return memmem(p, n, what, strlen(what)) != NULL; }

answer_format answer_format_of(const char *source, size_t n)
{
    static const struct {
        const char *mark;
        answer_format format;
    } by[] = { /* a template may speak of several: the one that says most comes first */
        {"<|channel|>", ANSWER_HARMONY}, {"[TOOL_CALLS]", ANSWER_MISTRAL}, {"minimax:tool_call", ANSWER_MINIMAX},
        {"<|tool_calls_section_begin|>", ANSWER_KIMI}, {"\xef\xbd\x9c" "DSML", ANSWER_DSML},
        {"<\xef\xbd\x9ctool\xe2\x96\x81" "calls", ANSWER_DEEPSEEK}, {"<|tool_call>", ANSWER_GEMMA},
        {"<start_function_call>", ANSWER_GEMMA}, {"<|tool_list_start|>", ANSWER_LFM2}, {"<|tool_call_start|>", ANSWER_LFM2},
        {"\"List of tools: [\"", ANSWER_LFM2}, {"<|START_ACTION|>", ANSWER_COMMAND}, {"<TOOLCALL>", ANSWER_NEMOTRON},
        {"<|tool_call|>", ANSWER_GRANITE}, {"<tool_call>", ANSWER_TAGS}, {"<|python_tag|>", ANSWER_LLAMA},
        {"ipython", ANSWER_LLAMA},
    };
    for (size_t i = 0; i < sizeof by / sizeof *by; i++)
        if (contains(source, n, by[i].mark)) return by[i].format;
    return ANSWER_PLAIN;
}

answer *answer_new(answer_format format, const json_t *tools, bool thinks, const answer_events *events)
{
    answer *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    a->format = format;
    a->tools = tools;
    a->on = *events;
    a->held.max = MAX_HELD;
    a->at = format == ANSWER_HARMONY ? IN_HEADER : thinks ? IN_THOUGHT : AT_START;
    a->close = close_thought[0];
    a->marks = &call_marks_llama;
    a->skip_blanks = thinks;
    return a;
}

void answer_free(answer *a)
{
    if (!a) return;
    buf_free(&a->held);
    buf_free(&a->piece);
    free(a);
}

size_t answer_calls(const answer *a) { return a->calls; }

size_t answer_thought(const answer *a)
{
    return a->at == IN_THOUGHT || (a->at == IN_BODY && a->to_reasoning) ? a->pushed : a->thought;
}

/* ---- what is held back ---- */

static void drop(answer *a, size_t n)
{
    if (!n) return;
    memmove(a->held.data, a->held.data + n, a->held.size - n + 1);
    a->held.size -= n;
}

static void pass(answer *a, answer_kind kind, size_t n)
{
    if (n) a->on.text(a->on.user, kind, a->held.data, n);
    drop(a, n);
}

static size_t without_blanks(const char *p, size_t n)
{
    while (n && text_blank(p[n - 1])) n--;
    return n;
}

/* Where the longest end of the text that could begin `marker` starts; n where none can. */
static size_t partial(const char *p, size_t n, const char *marker)
{
    size_t k = strlen(marker), from = n > k - 1 ? n - (k - 1) : 0;
    for (size_t i = from; i < n; i++)
        if (memcmp(p + i, marker, n - i) == 0) return i;
    return n;
}

static size_t find(const answer *a, const char *marker)
{
    const char *hit = a->held.size ? memmem(a->held.data, a->held.size, marker, strlen(marker)) : NULL;
    return hit ? (size_t)(hit - a->held.data) : SIZE_MAX;
}

static void skip_blanks(answer *a)
{
    size_t n = 0;
    if (!a->skip_blanks) return;
    while (n < a->held.size && text_blank(a->held.data[n])) n++;
    drop(a, n);
    if (a->held.size) a->skip_blanks = false;
}

/* ---- calls ---- */

static void call(answer *a, const char *name, json_t *arguments)
{
    char *text = json_is_object(arguments) ? json_dumps(arguments, JSON_COMPACT) : NULL;
    const char *all = text ? text : "{}";
    a->on.call(a->on.user, name);
    a->on.arguments(a->on.user, all, strlen(all));
    a->on.call_end(a->on.user, true);
    a->calls++;
    free(text);
}

/* Passes on the calls that stand in s; false, and nothing passed on, where it is something else. Of an answer that was
 * cut off, the calls before count. */
static bool calls_in(answer *a, call_reader *read, text_span s, bool cut_off)
{
    found f = {.tools = a->tools};
    bool ok = a->failures < MOST_FAILURES && (read(&f, s) || (cut_off && f.n));
    a->failures += !ok;
    for (size_t i = 0; ok && i < f.n; i++) call(a, f.call[i].name, f.call[i].arguments);
    found_clear(&f);
    return ok;
}

/* ---- calls whose arguments are passed on as they come ---- */

static bool offered(const answer *a, const char *name)
{
    for (size_t i = 0; i < json_array_size(a->tools); i++) {
        const json_t *tool = json_array_get(a->tools, i), *f = json_object_get(tool, "function");
        const char *known = json_string_value(json_object_get(f ? f : tool, "name"));
        if (known && strcmp(known, name) == 0) return true;
    }
    return false;
}

/* Looks for the arguments of a call that begins after `from` bytes; where they are found, the call has begun. */
static head_state begin_call(answer *a, head_reader *head, const char *name, size_t from)
{
    call_head h = {.name = ""};
    size_t left = a->held.size - from;
    head_state st = head((text_span){a->held.data + from, left < MOST_HEAD ? left : MOST_HEAD}, &h);
    if (st == HEAD_MORE && left >= MOST_HEAD) return HEAD_NONE;
    if (st != HEAD_FOUND) return st;
    if (!offered(a, name ? name : h.name)) return HEAD_NONE;
    drop(a, from + h.at);
    a->around = h.around;
    a->walk = (json_walk){0};
    a->tried = 0;
    a->at = IN_ARGUMENTS;
    a->on.call(a->on.user, name ? name : h.name);
    return HEAD_FOUND;
}

/* The first of the markers that end a harmony body; *maybe: where the end of the text could begin one. */
static size_t find_body_end(const answer *a, size_t *which, size_t *maybe)
{
    size_t first = SIZE_MAX;
    *maybe = a->held.size;
    for (size_t i = 0; body_ends[i]; i++) {
        size_t hit = find(a, body_ends[i]), part = a->held.size ? partial(a->held.data, a->held.size, body_ends[i]) : 0;
        if (part < *maybe) *maybe = part;
        if (hit >= first) continue;
        first = hit;
        *which = i;
    }
    return first;
}

static void end_call(answer *a)
{
    bool harmony = a->format == ANSWER_HARMONY;
    a->on.call_end(a->on.user, a->walk.ended && !a->walk.depth);
    a->calls++;
    a->at = harmony ? IN_BODY : AFTER_CALL;
    a->past = harmony;
    a->walk = (json_walk){.depth = a->around, .ended = !a->around};
}

static bool in_arguments(answer *a, bool final)
{
    bool harmony = a->format == ANSWER_HARMONY;
    size_t which, maybe = a->held.size, end = harmony ? find_body_end(a, &which, &maybe) : SIZE_MAX;
    size_t n = end != SIZE_MAX ? end : final ? a->held.size : maybe;
    buf_clear(&a->piece);
    n = json_walk_on(&a->walk, a->held.data, n, &a->piece);
    if (a->piece.size) a->on.arguments(a->on.user, a->piece.data, a->piece.size);
    drop(a, n);
    if (!a->walk.ended && !final && n != end) return false;
    end_call(a);
    return true;
}

typedef enum begins { BEGINS_NOT, BEGINS_MAYBE, BEGINS } begins;

static begins begins_with(const answer *a, const char *marker)
{
    size_t n = marker ? strlen(marker) : 0, have = a->held.size < n ? a->held.size : n;
    if (!n || memcmp(a->held.data, marker, have) != 0) return BEGINS_NOT;
    return have < n ? BEGINS_MAYBE : BEGINS;
}

/* The ends of the objects around the arguments, and the marker after them; false: they are not there yet. */
static bool past_call(answer *a)
{
    if (!a->walk.ended) drop(a, json_walk_on(&a->walk, a->held.data, a->held.size, NULL));
    if (!a->walk.ended) return false;
    const char *tail = a->marks->tail, *close = a->marks->close;
    size_t hit = tail ? find(a, tail) : 0, end = tail && close ? find(a, close) : SIZE_MAX;
    if (hit == SIZE_MAX && end == SIZE_MAX) return false;
    drop(a, hit < end ? hit + (tail ? strlen(tail) : 0) : end);
    return true;
}

/* Another call of the list that must be whole to be read. */
static bool next_whole_call(answer *a, bool final)
{
    if (!a->tried) a->walk = (json_walk){0};
    a->tried += json_walk_on(&a->walk, a->held.data + a->tried, a->held.size - a->tried, NULL);
    if (!a->walk.ended && !final) return false;
    if (calls_in(a, call_read_json, (text_span){a->held.data, a->tried}, false))
        drop(a, a->tried);
    else
        a->at = IN_TEXT;
    a->tried = 0;
    return true;
}

static bool after_call(answer *a, bool final)
{
    if (!a->past) a->past = past_call(a);
    size_t n = a->past ? 0 : a->held.size;
    if (!a->past && !final) return false;
    while (n < a->held.size && (text_blank(a->held.data[n]) || strchr(",;]}", a->held.data[n]))) n++;
    drop(a, n);
    begins close = begins_with(a, a->marks->close), open = begins_with(a, a->marks->open);
    if (!a->held.size || (!final && (close == BEGINS_MAYBE || open == BEGINS_MAYBE))) return false;
    a->skip_blanks = true;
    if (close == BEGINS || open == BEGINS) {
        drop(a, close == BEGINS ? strlen(a->marks->close) : 0);
        a->at = close == BEGINS ? IN_TEXT : IN_CALL;
        a->marker = strlen(a->marks->open);
        return true;
    }
    head_state st = begin_call(a, a->marks->head, NULL, 0);
    if (st == HEAD_MORE && final) drop(a, a->held.size); /* cut off */
    if (st != HEAD_NONE) return st == HEAD_FOUND;
    if (a->held.data[0] == '{' && !a->marks->tail) return next_whole_call(a, final);
    a->at = a->marks->tail ? IN_CALL : IN_TEXT;
    a->marker = 0;
    return true;
}

/* ---- the states: each returns whether there is more to do with what is held ---- */

static bool at_start(answer *a, bool final)
{
    size_t n = 0;
    while (n < a->held.size && text_blank(a->held.data[n])) n++;
    if (n == a->held.size && !final) return false;
    for (int i = 0; open_thought[i]; i++) {
        size_t k = strlen(open_thought[i]), have = a->held.size - n;
        if (have >= k && memcmp(a->held.data + n, open_thought[i], k) == 0) {
            drop(a, n + k);
            a->at = IN_THOUGHT;
            a->close = close_thought[i];
            a->skip_blanks = true;
            return true;
        }
        if (!final && have && have < k && memcmp(a->held.data + n, open_thought[i], have) == 0) return false;
    }
    a->at = IN_TEXT;
    if (a->format == ANSWER_LLAMA && a->tools && a->held.size > n) { /* it may begin with a call */
        static const char tag[] = "<|python_tag|>";
        size_t have = a->held.size - n, k = have < sizeof tag - 1 ? have : sizeof tag - 1;
        bool tagged = memcmp(a->held.data + n, tag, k) == 0;
        if (tagged && k < sizeof tag - 1 && !final) {
            a->at = AT_START;
            return false;
        }
        if (a->held.data[n] == '{' || tagged) a->at = IN_CALL;
    }
    return true;
}

static bool in_thought(answer *a, bool final)
{
    skip_blanks(a);
    size_t hit = find(a, a->close);
    if (hit != SIZE_MAX) {
        size_t n = without_blanks(a->held.data, hit);
        pass(a, ANSWER_REASONING, n);
        drop(a, hit - n + strlen(a->close));
        a->thought = a->pushed - a->held.size;
        a->skip_blanks = true;
        a->at = a->format == ANSWER_LLAMA ? AT_START : IN_TEXT;
        return true;
    }
    size_t keep = final ? a->held.size : partial(a->held.data, a->held.size, a->close);
    pass(a, ANSWER_REASONING, without_blanks(a->held.data, keep));
    if (final) drop(a, a->held.size);
    return false;
}

static const call_marks *looks_for_calls(const answer *a)
{
    return a->tools && a->failures < MOST_FAILURES ? call_marks_of(a->format) : NULL;
}

/* The first marker of a call in the text, or where the end of the text could become one (n where it cannot). */
static size_t find_marker(const answer *a, const call_marks **which, size_t *maybe)
{
    size_t first = SIZE_MAX;
    *maybe = a->held.size;
    for (const call_marks *m = looks_for_calls(a); m && m->open; m++) {
        size_t hit = find(a, m->open), part = partial(a->held.data, a->held.size, m->open);
        if (part < *maybe) *maybe = part;
        if (hit >= first) continue;
        first = hit;
        *which = m;
    }
    return first;
}

static bool in_text(answer *a, bool final)
{
    size_t maybe;
    skip_blanks(a);
    if (!a->held.size) return false;
    size_t hit = find_marker(a, &a->marks, &maybe);
    if (hit != SIZE_MAX) {
        size_t n = without_blanks(a->held.data, hit);
        pass(a, ANSWER_TEXT, n);
        drop(a, hit - n);
        a->at = IN_CALL; /* the marker stays: it is text if no call follows */
        a->marker = strlen(a->marks->open);
        return true;
    }
    bool waits = looks_for_calls(a) && call_marks_of(a->format)->open;
    size_t keep = a->held.size;
    if (!final && waits) keep = without_blanks(a->held.data, maybe);
    if (final && a->calls) keep = without_blanks(a->held.data, keep);
    pass(a, ANSWER_TEXT, keep);
    if (final) drop(a, a->held.size);
    return false;
}

/* From the opening marker to the closing one; one inside of a JSON string is none. */
static bool in_call(answer *a, bool final)
{
    const char *close = a->marks->close;
    size_t open = a->marker, n = close ? strlen(close) : 0;
    head_state head = a->marks->head && a->failures < MOST_FAILURES ? begin_call(a, a->marks->head, NULL, open) : HEAD_NONE;
    if (head == HEAD_FOUND || (head == HEAD_MORE && !final)) return head == HEAD_FOUND;
    const char *p = a->held.data + open, *end = a->held.data + a->held.size;
    const char *from = a->tried > open ? a->held.data + a->tried : p;
    while (close && from < end) {
        const char *hit = memmem(from, (size_t)(end - from), close, n);
        if (!hit) break;
        if (calls_in(a, a->marks->read, (text_span){p, (size_t)(hit - p)}, false)) {
            drop(a, (size_t)(hit - a->held.data) + n);
            a->at = IN_TEXT;
            a->skip_blanks = true;
            a->tried = 0;
            return true;
        }
        from = hit + n;
    }
    a->tried = (size_t)(from - a->held.data);
    if (!final && a->failures < MOST_FAILURES) {
        if (close && (size_t)(end - from) > n) a->tried = a->held.size - (n - 1);
        return false;
    }
    a->at = IN_TEXT;
    if (calls_in(a, a->marks->read, (text_span){p, (size_t)(end - p)}, true)) { /* the model did not close it */
        drop(a, a->held.size);
        return false;
    }
    pass(a, ANSWER_TEXT, a->tried > open ? a->tried : open);
    a->tried = 0;
    return true;
}

/* The answer begins with a call whose arguments come early, or all of it is calls, or none. */
static bool in_llama_call(answer *a, bool final)
{
    if (begin_call(a, a->marks->head, NULL, 0) == HEAD_FOUND) return true;
    if (!final) return false;
    if (!calls_in(a, a->marks->read, (text_span){a->held.data, a->held.size}, true)) pass(a, ANSWER_TEXT, a->held.size);
    drop(a, a->held.size);
    a->at = IN_TEXT;
    return false;
}

/* ---- harmony ---- */

static void read_header(answer *a, text_span h)
{
    static const char to[] = "to=functions.";
    const char *hit = h.n ? memmem(h.p, h.n, to, sizeof to - 1) : NULL;
    a->to[0] = 0;
    a->to_reasoning = contains(h.p, h.n, "analysis");
    if (!hit || !a->tools) return;
    const char *p = hit + sizeof to - 1, *end = h.p + h.n;
    size_t n = 0;
    while (p + n < end && !text_blank(p[n]) && p[n] != '<' && n < sizeof a->to - 1) n++;
    memcpy(a->to, p, n);
    a->to[n] = 0;
}

/* An answer without any header is text; what has markers, but no message, is nothing. */
static bool without_header(answer *a, bool final)
{
    static const char mark[] = "<|";
    size_t n = a->held.size < MOST_HEADER ? a->held.size : MOST_HEADER;
    const char *marked = memmem(a->held.data, n, mark, sizeof mark - 1);
    if (marked && final) drop(a, a->held.size);
    else if (marked) drop(a, (size_t)(marked - a->held.data) + sizeof mark - 1);
    else a->at = IN_BODY;
    a->to_reasoning = a->past = false;
    a->to[0] = 0;
    return true;
}

static bool in_header(answer *a, bool final)
{
    static const char message[] = "<|message|>";
    size_t hit = find(a, message), n = 0;
    while (n < a->held.size && text_blank(a->held.data[n])) n++;
    bool header = n < a->held.size && a->held.data[n] == '<';
    if (hit == SIZE_MAX && header && final) drop(a, a->held.size);
    if (!header && hit >= MOST_HEADER && (final || a->held.size >= MOST_HEADER + sizeof message)) return without_header(a, final);
    if (hit == SIZE_MAX) return false;
    read_header(a, (text_span){a->held.data, hit});
    drop(a, hit + sizeof message - 1);
    a->past = false;
    a->at = IN_BODY;
    return true;
}

static void end_body(answer *a, size_t n)
{
    answer_kind kind = a->to_reasoning ? ANSWER_REASONING : ANSWER_TEXT;
    text_span s = text_trim((text_span){a->held.data, n});
    if (a->past || !a->to[0]) {
        if (!a->past) pass(a, kind, n);
        else drop(a, n);
        return;
    }
    json_t *args = s.n ? json_loadb(s.p, s.n, JSON_ALLOW_NUL, NULL) : json_object();
    if (json_is_object(args)) {
        call(a, a->to, args);
        drop(a, n);
    } else {
        pass(a, ANSWER_TEXT, n);
    }
    json_decref(args);
}

static bool in_body(answer *a, bool final)
{
    size_t which, maybe;
    if (a->to[0] && !a->past && begin_call(a, call_head_body, a->to, 0) == HEAD_FOUND) return true;
    size_t end = find_body_end(a, &which, &maybe);
    if (end != SIZE_MAX) {
        end_body(a, end);
        drop(a, strlen(body_ends[which]));
        if (a->to_reasoning) a->thought = a->pushed - a->held.size;
        a->at = IN_HEADER;
        return true;
    }
    if (final)
        end_body(a, a->held.size);
    else if (!a->to[0])
        pass(a, a->to_reasoning ? ANSWER_REASONING : ANSWER_TEXT, maybe);
    return false;
}

static void run(answer *a, bool final)
{
    for (bool more = true; more && a->held.size;) {
        switch (a->at) {
        case AT_START: more = at_start(a, final); break;
        case IN_THOUGHT: more = in_thought(a, final); break;
        case IN_TEXT: more = in_text(a, final); break;
        case IN_CALL: more = a->format == ANSWER_LLAMA ? in_llama_call(a, final) : in_call(a, final); break;
        case IN_ARGUMENTS: more = in_arguments(a, final); break;
        case AFTER_CALL: more = after_call(a, final); break;
        case IN_HEADER: more = in_header(a, final); break;
        case IN_BODY: more = in_body(a, final); break;
        }
    }
}

tawny_status answer_push(answer *a, const char *text, size_t n, tawny_error *err)
{
    if (!buf_add(&a->held, text, n))
        return err_set(err, TAWNY_E_LIMIT, "a tool call of more than %d bytes", MAX_HELD);
    a->pushed += n;
    run(a, false);
    return TAWNY_OK;
}

tawny_status answer_end(answer *a, tawny_error *err)
{
    (void)err;
    run(a, true);
    if (a->at == IN_ARGUMENTS) end_call(a);
    return TAWNY_OK;
}
