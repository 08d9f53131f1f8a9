// Requests to the server that this page came from.

const KEY = 'tawny.key';
let key = read();
let askForKey = async () => null;

function read() {
    try {
        return sessionStorage.getItem(KEY) || '';
    } catch {
        return '';
    }
}

export function setKey(value) {
    key = value || '';
    try {
        if (key) sessionStorage.setItem(KEY, key);
        else sessionStorage.removeItem(KEY);
    } catch {
        /* kept in memory */
    }
}
export const hasKey = () => key !== '';

// ask(wasWrong) gives a key, or null where the user has none.
export function onKeyWanted(ask) {
    askForKey = ask;
}

export class Failure extends Error {
    constructor(message, status) {
        super(message);
        this.status = status;
    }
}

async function failureOf(response) {
    let message = '';
    try {
        const text = await response.text();
        message = text;
        message = JSON.parse(text).error?.message || text;
    } catch {
        /* no JSON */
    }
    return new Failure(message.slice(0, 500) || `the server answered ${response.status}`, response.status);
}

let asking = null; // one dialog for all requests that wait for a key

export async function ask(path, { body, signal } = {}) {
    for (;;) {
        const headers = body ? { 'Content-Type': 'application/json' } : {};
        const used = key;
        if (key) headers.Authorization = `Bearer ${key}`;
        const response = await fetch(path, {
            method: body ? 'POST' : 'GET',
            headers,
            signal,
            body: body && JSON.stringify(body),
            credentials: 'omit',
            cache: 'no-store',
            redirect: 'error',
            referrerPolicy: 'no-referrer',
        });
        if (response.ok) return response;
        if (response.status !== 401) throw await failureOf(response);
        if (used !== key) continue; /* another request has a new one already */
        asking ??= Promise.resolve(askForKey(used !== '')).finally(() => {
            asking = null;
        });
        const given = await asking;
        if (given === null) throw await failureOf(response);
        setKey(given);
    }
}

export const askJson = async (path, options) => (await ask(path, options)).json();

// The events of a stream, as objects.
export async function* stream(path, body, signal) {
    const response = await ask(path, { body, signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
        const { value, done } = await reader.read();
        if (done) throw new Failure('the connection ended before the answer did', 0);
        rest += value;
        const lines = rest.split('\n');
        rest = lines.pop();
        for (const line of lines) {
            if (!line.startsWith('data: ')) continue;
            if (line === 'data: [DONE]') return;
            const event = JSON.parse(line.slice(6));
            if (event.error) throw new Failure(event.error.message || 'the server failed', event.error.code);
            yield event;
        }
    }
}

// Prometheus' text as { name: number }.
export async function metrics() {
    const text = await (await ask('metrics')).text();
    const all = {};
    for (const line of text.split('\n')) {
        const found = /^([\w:]+) (\S+)$/.exec(line);
        if (found) all[found[1]] = Number(found[2]);
    }
    return all;
}

// Waits until the server has its model; tells of each try that fails.
export async function untilReady(tell) {
    for (let wait = 250; ; wait = Math.min(wait * 1.5, 3000)) {
        try {
            const response = await fetch('health', { cache: 'no-store', credentials: 'omit' });
            if (response.ok) return;
            tell((await failureOf(response)).message);
        } catch {
            tell('The server cannot be reached.');
        }
        await new Promise((go) => setTimeout(go, wait));
    }
}
