// What the page's tests stand on: servers, a browser whose every request is noted, and other people's sites.
import assert from 'node:assert/strict';
import { spawn, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

const require = createRequire(join(process.env.MODULES, 'x.js'));
const { chromium } = require('playwright-core');
export const axeSource = require('axe-core').source;

const build = process.env.BUILD;
const folder = mkdtempSync(join(tmpdir(), 'tawny-page-'));
export const tinyModel = join(folder, 'tiny.gguf');
execFileSync(join(build, 'tests/mkmodel'), ['tiny', tinyModel]);

const ends = [];
async function cleanUp() {
    for (const end of ends.reverse()) await end();
    rmSync(folder, { recursive: true });
}

// ---- servers ----

export async function serve(model, ...options) {
    const child = spawn(join(build, 'tawny'), ['serve', '-m', model, '--port', '0', '-np', '4', ...options], {
        stdio: ['ignore', 'ignore', 'pipe'],
    });
    const exited = new Promise((go) => child.once('exit', go));
    const port = await new Promise((yes, no) => {
        let text = '';
        child.stderr.on('data', (d) => {
            text += d;
            const found = /listening on http:\/\/[^:]+:(\d+)/.exec(text);
            if (found) yes(Number(found[1]));
        });
        child.once('exit', () => no(new Error(text)));
    });
    const server = {
        port,
        url: `http://127.0.0.1:${port}/`,
        stop: async () => {
            child.kill('SIGTERM');
            await exited;
        },
    };
    ends.push(() => server.stop());
    return server;
}

export async function metric(server, name, key) {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    const text = await (await fetch(`${server.url}metrics`, { headers })).text();
    return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)[1]);
}

async function listen(handler) {
    const s = http.createServer(handler);
    await new Promise((go) => s.listen(0, '127.0.0.1', go));
    ends.push(() => {
        s.closeAllConnections();
        return new Promise((go) => s.close(go));
    });
    return s.address().port;
}

// A site of somebody else with one page.
export async function site(html) {
    return listen((q, a) => {
        a.setHeader('Content-Type', 'text/html');
        a.end(html);
    });
}

// The server as it is over a slow line: chat completions come an event each `ms`. state.gone counts answers that the
// browser hung up on; a function at state.answer is asked first, and gives the events itself.
export async function slowly(server, ms) {
    const state = { gone: 0, bodies: [], answer: null };
    const pass = (q, a, body) => {
        const headers = { ...q.headers, host: `127.0.0.1:${server.port}` };
        delete headers.origin;
        const up = http.request(
            { port: server.port, host: '127.0.0.1', method: q.method, path: q.url, headers },
            (r) => {
                a.writeHead(r.statusCode, r.headers);
                if (!q.url.startsWith('/v1/chat')) return r.pipe(a);
                drip(a, r, up);
            },
        );
        up.on('error', () => a.destroy());
        up.end(body);
    };
    const drip = async (a, events, up) => {
        let over = false;
        a.on('close', () => {
            if (!over) {
                state.gone++;
                up?.destroy();
            }
        });
        let rest = '';
        try {
            for await (const piece of events) {
                rest += piece;
                for (let at; (at = rest.indexOf('\n\n')) >= 0; rest = rest.slice(at + 2)) {
                    if (a.destroyed) return;
                    a.write(rest.slice(0, at + 2));
                    await new Promise((go) => setTimeout(go, ms));
                }
            }
        } catch {
            /* the browser has gone */
        }
        over = true;
        a.end();
    };
    const port = await listen(async (q, a) => {
        let body = '';
        for await (const piece of q) body += piece;
        if (q.url === '/v1/chat/completions') {
            state.bodies.push(JSON.parse(body));
            const given = state.answer?.(JSON.parse(body));
            if (given) {
                a.writeHead(200, { 'Content-Type': 'text/event-stream' });
                return drip(a, events(given), null);
            }
        }
        pass(q, a, body);
    });
    return { ...state, state, port, url: `http://127.0.0.1:${port}/` };
}

// An answer as the server sends it: { reasoning, text } in pieces of a few characters.
async function* events({ reasoning = '', text = '', piece = 12 }) {
    const event = (o) => Buffer.from(`data: ${JSON.stringify(o)}\n\n`);
    let n = 0;
    const timings = () => ({
        predicted_n: n,
        predicted_ms: 40 * n,
        predicted_per_second: 25,
        prompt_n: 9,
        cache_n: 3,
        prompt_ms: 80,
        prompt_per_second: 112,
    });
    for (const [key, all] of [
        ['reasoning_content', reasoning],
        ['content', text],
    ]) {
        for (let at = 0; at < all.length; at += piece, n++)
            yield event({ choices: [{ index: 0, delta: { [key]: all.slice(at, at + piece) } }], timings: timings() });
    }
    yield event({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], timings: timings() });
    yield Buffer.from('data: [DONE]\n\n');
}

// ---- the browser ----

let browser;
async function start() {
    browser = await chromium.launch({
        executablePath: process.env.BROWSER,
        args: [
            '--no-sandbox',
            '--disable-gpu',
            '--disable-quic',
            '--no-first-run',
            '--disable-background-networking',
            '--disable-component-update',
            '--disable-sync',
            '--host-resolver-rules=MAP evil.example 127.0.0.1',
        ],
    });
    ends.push(() => browser.close());
}

// A browser, a server with the tiny model, and the same one over a slow line; all gone after the file's tests.
export async function begin() {
    after(cleanUp);
    await start();
    const server = await serve(tinyModel, '-t', '1', '-n', '24', '-c', '1024');
    return { server, slow: await slowly(server, 30) };
}

// A profile of its own. Everything that it asks for, complains of or forbids is noted.
export async function profile(options = {}) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 760 }, ...options });
    context.seen = { requests: [], complaints: [], dialogs: [] };
    context.on('request', (q) => context.seen.requests.push(q.url()));
    context.on('console', (m) => {
        if (['error', 'warning'].includes(m.type())) context.seen.complaints.push(m.text());
    });
    context.on('weberror', (e) => context.seen.complaints.push(String(e.error())));
    context.on('dialog', (d) => {
        context.seen.dialogs.push(d.message());
        d.accept();
    });
    await context.addInitScript(() => {
        document.addEventListener('securitypolicyviolation', (e) =>
            console.error(`CSP: ${e.effectiveDirective} ${e.blockedURI}`),
        );
    });
    context.setDefaultTimeout(15000);
    return context;
}

// Nothing was asked of anybody but the server, nothing was complained of.
export function isClean(context, server, but = () => false) {
    const { requests, complaints, dialogs } = context.seen;
    const others = requests.filter(
        (u) => !u.startsWith(server.url) && !u.startsWith('blob:') && !u.startsWith('data:'),
    );
    assert.deepEqual(others, []);
    assert.deepEqual(
        complaints.filter((t) => !but(t)),
        [],
    );
    assert.deepEqual(dialogs, []);
}

export async function open(context, server, hash = '') {
    const page = await context.newPage();
    await page.goto(server.url + hash);
    await page.locator('#model', { hasText: 'context' }).waitFor();
    return page;
}

export async function ended(page) {
    await page.locator('#send:not(.stop)').waitFor();
}

export async function say(page, text) {
    await page.fill('#text', text);
    await page.press('#text', 'Enter');
    await ended(page);
}

export const answers = (page) => page.locator('.msg.model > .md');
export const titles = (page) => page.locator('#list a').allTextContents();

// Waits until one of them holds it.
export async function theText(locator, text) {
    await locator.filter({ hasText: text }).first().waitFor();
}
