// An answer on its way: one request, and the message that it fills.
import { askJson, stream } from './api.js';
import * as settings from './settings.js';
import * as gauge from './gauge.js';

// A message each: what the user said twice in a row (an answer was stopped or failed) is joined, since many templates
// want turns to alternate.
function conversationOf(c, before) {
    const messages = c.system.trim() ? [{ role: 'system', content: c.system }] : [];
    for (const m of c.messages.slice(0, before)) {
        const last = messages.at(-1);
        if (m.role === 'assistant' && !m.content) continue;
        if (last && last.role === m.role) last.content += `\n\n${m.content}`;
        else messages.push({ role: m.role, content: m.content });
    }
    return messages;
}

export class Run {
    // changed(run) is called after each piece, and once more when it is over.
    constructor(conversation, message, changed) {
        this.conversation = conversation;
        this.message = message;
        this.changed = changed;
        this.aborter = new AbortController();
        this.over = false;
    }

    stop() {
        this.aborter.abort();
    }

    // How far a long prompt is read, while nothing has come yet: the server tells it of slots, not of requests, so it is
    // shown where one alone is reading.
    async watch() {
        while (!this.over && !this.message.content && !this.message.reasoning) {
            await new Promise((go) => setTimeout(go, 1000));
            if (this.over || document.hidden) continue;
            const slots = await askJson('slots').catch(() => []);
            const reading = slots.filter((s) => s.is_processing && s.n_prompt_tokens_processed < s.n_prompt_tokens);
            const full = slots.length > 0 && slots.every((s) => s.is_processing);
            if (reading.length === 1)
                this.message.progress = [reading[0].n_prompt_tokens_processed, reading[0].n_prompt_tokens];
            else this.message.progress = full ? [] : undefined;
            this.changed(this);
        }
        delete this.message.progress;
    }

    take(event) {
        const m = this.message,
            choice = event.choices?.[0];
        if (choice?.delta?.reasoning_content) {
            m.reasoning = (m.reasoning || '') + choice.delta.reasoning_content;
            this.thinking ??= performance.now();
        }
        if (choice?.delta?.content) {
            if (this.thinking && !m.content) m.thought = Math.round(performance.now() - this.thinking);
            m.content += choice.delta.content;
        }
        if (choice?.finish_reason) m.finish = choice.finish_reason;
        if (event.timings) {
            this.timings = event.timings;
            gauge.timings(event.timings, false);
        }
        if (event.fingerprint) m.fingerprint = event.fingerprint;
    }

    async go() {
        const c = this.conversation,
            m = this.message;
        gauge.begin();
        this.watch();
        try {
            const body = {
                ...settings.ofRequest(),
                messages: conversationOf(c, c.messages.indexOf(m)),
                stream: true,
                stream_options: { include_usage: true },
                timings_per_token: true,
            };
            for await (const event of stream('v1/chat/completions', body, this.aborter.signal)) {
                this.take(event);
                this.changed(this);
            }
        } catch (e) {
            if (this.aborter.signal.aborted) m.finish = 'stopped';
            else m.error = e instanceof TypeError ? 'The server cannot be reached.' : e.message;
        }
        delete m.pending;
        this.over = true;
        if (this.timings) {
            const t = this.timings;
            gauge.timings(t, true);
            m.stats = {
                n: t.predicted_n,
                rate: t.predicted_per_second,
                prompt: t.prompt_n,
                cached: t.cache_n,
                ms: t.prompt_ms,
            };
        }
        gauge.end();
        this.changed(this);
    }
}
