// The page of chats: what belongs together of its parts.
import { $, icon, say, toast } from './dom.js';
import * as api from './api.js';
import * as store from './store.js';
import * as settings from './settings.js';
import * as gauge from './gauge.js';
import * as view from './view.js';
import * as side from './side.js';
import { Run } from './run.js';

const SAVE_MS = 2000; // between saves of an answer that grows
const runs = new Map(); // by conversation: what goes on in this tab
let current = store.create(''),
    props = {},
    ready = false;

settings.load(); // before anything is drawn: light or dark

const runOf = (c) => [...runs.values()].find((r) => r.conversation === c);

// ---- showing ----

function notice(text) {
    $('notice').hidden = !text;
    $('notice').firstElementChild.textContent = text || '';
}

function showState() {
    const run = runOf(current),
        title = current.title || 'New conversation';
    $('title').textContent = title;
    document.title = current.title ? `${title} – tawny` : 'tawny';
    const button = $('send'),
        label = run ? 'Stop the answer' : 'Send';
    button.replaceChildren(icon(run ? 'stop' : 'send'));
    button.setAttribute('aria-label', label);
    button.title = label;
    button.classList.toggle('stop', Boolean(run));
    button.disabled = !run && (!ready || !$('text').value.trim());
}

function showConversation() {
    view.showAll(current, runOf(current)?.message ?? null, { edit: editMessage, again });
    showState();
}

async function open(id) {
    const kept = runs.get(id)?.conversation ?? (id ? await store.load(id) : null);
    current = kept ?? store.create(settings.defaultSystem());
    if (id && !kept) history.replaceState(null, '', location.pathname);
    view.hush();
    showConversation();
    await side.refresh(current.id);
    notice('');
}

function createNew() {
    side.open(false);
    if (location.hash) location.hash = '';
    else open('');
    $('text').focus();
}

// ---- keeping ----

async function save(c) {
    try {
        const before = c.id;
        if (await store.save(c)) {
            const run = runs.get(before);
            if (run) {
                runs.delete(before);
                runs.set(c.id, run);
            }
            toast('Another tab changed this conversation: it goes on as a copy.');
        }
        if (c === current && location.hash !== `#${c.id}`) history.replaceState(null, '', `#${c.id}`);
        await side.refresh(current.id);
    } catch (e) {
        notice(`The conversation could not be kept: ${e.message}`);
    }
}

// One save of a conversation at a time: the next one begins when it is done.
const saving = new Map();
function saveInTurn(c) {
    const next = (saving.get(c) ?? Promise.resolve())
        .then(() => save(c))
        .finally(() => {
            if (saving.get(c) === next) saving.delete(c);
        });
    saving.set(c, next);
    return next;
}

// ---- talking ----

async function answer(c) {
    const message = { role: 'assistant', content: '', time: Date.now(), pending: true };
    c.messages.push(message);
    c.updated = Date.now();
    let saved = performance.now();
    const run = new Run(c, message, () => {
        if (c === current) view.showLast(run.over);
        if (!run.over && performance.now() - saved > SAVE_MS) {
            saved = performance.now();
            saveInTurn(c);
        }
    });
    runs.set(c.id, run);
    view.hush();
    if (c === current) showConversation();
    say('The model answers.');
    const kept = saveInTurn(c);
    await run.go();
    await kept;
    await saveInTurn(c);
    for (const [id, r] of runs) if (r === run) runs.delete(id);
    if (c === current) {
        showState();
        say(
            message.error
                ? `Error: ${message.error}`
                : message.finish === 'stopped'
                  ? 'The answer was stopped.'
                  : 'The answer is complete.',
        );
    }
}

function send(text) {
    if (!ready || runOf(current) || !text.trim()) return;
    current.messages.push({ role: 'user', content: text, time: Date.now() });
    if (!current.title) current.title = text.trim().split('\n')[0].slice(0, 80);
    $('text').value = '';
    grow();
    answer(current);
}

// What follows m (itself too) is replaced: it can be had back for some seconds.
async function cutAt(m) {
    const run = runOf(current),
        c = current;
    if (run) {
        run.stop();
        while (runOf(c)) await new Promise((go) => setTimeout(go, 10));
    }
    const before = structuredClone(c.messages);
    const i = c.messages.indexOf(m);
    c.messages.length = i < 0 ? c.messages.length : i;
    return before;
}

function offerBack(c, before) {
    toast('The earlier messages were replaced.', 'Undo', async () => {
        runOf(c)?.stop();
        while (runOf(c)) await new Promise((go) => setTimeout(go, 10));
        c.messages = before;
        c.updated = Date.now();
        if (c === current) showConversation();
        saveInTurn(c);
    });
}

async function again(m) {
    const c = current;
    if (runOf(c) || !ready) return;
    const before = await cutAt(m);
    offerBack(c, before);
    answer(c);
    $('text').focus();
}

async function editMessage(m, text) {
    const c = current,
        first = c.messages[0] === m;
    if (!ready) return;
    const before = await cutAt(m);
    c.messages.push({ role: 'user', content: text, time: Date.now() });
    if (first) c.title = text.trim().split('\n')[0].slice(0, 80);
    offerBack(c, before);
    answer(c);
    $('text').focus();
}

// ---- the list ----

async function rename(id, title) {
    const c = id === current.id ? current : (runs.get(id)?.conversation ?? (await store.load(id)));
    if (!c) return;
    c.title = title;
    await saveInTurn(c);
    showState();
}

async function removeOne(entry) {
    const running = runs.get(entry.id),
        kept = running?.conversation ?? (await store.load(entry.id));
    running?.stop();
    while (runs.has(entry.id)) await new Promise((go) => setTimeout(go, 10));
    if (kept) await saving.get(kept);
    await store.remove(entry.id);
    if (entry.id === current.id) createNew();
    await side.refresh(current.id);
    toast('Deleted.', 'Undo', async () => {
        kept.version = 0;
        await saveInTurn(kept);
        location.hash = kept.id;
    });
}

async function removeAll() {
    if (!confirm('Delete all conversations in this browser?')) return;
    for (const run of runs.values()) run.stop();
    while (runs.size) await new Promise((go) => setTimeout(go, 10));
    await Promise.all(saving.values());
    await store.removeAll();
    $('settings').close();
    createNew();
    await side.refresh(current.id);
}

async function exportAll() {
    const blob = new Blob([JSON.stringify(await store.all(), null, 1)], { type: 'application/json' });
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = 'tawny-conversations.json';
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// ---- the field, and keys ----

const touch = matchMedia('(pointer: coarse)');

function grow() {
    const field = $('text');
    field.style.height = 'auto';
    field.style.height = `${Math.min(field.scrollHeight, innerHeight * 0.4)}px`;
    showState();
}

function stop() {
    const run = runOf(current);
    run?.stop();
    return Boolean(run);
}

function wireField() {
    const field = $('text');
    field.enterKeyHint = touch.matches ? 'enter' : 'send';
    field.addEventListener('input', grow);
    field.addEventListener('keydown', (e) => {
        if (e.isComposing) return;
        if (e.key === 'Enter' && !e.shiftKey && (!touch.matches || e.ctrlKey || e.metaKey)) {
            e.preventDefault();
            if (!runOf(current)) send(field.value);
        }
        if (e.key === 'ArrowUp' && field.value === '' && !runOf(current)) {
            e.preventDefault();
            view.editLastOfUser();
        }
    });
    $('composer').addEventListener('submit', (e) => {
        e.preventDefault();
        if (!stop()) send(field.value);
        field.focus();
    });
    $('skip').addEventListener('click', (e) => {
        e.preventDefault();
        field.focus();
    });
}

const writing = (node) => node.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(node.nodeName);

function wireKeys() {
    document.addEventListener('keydown', (e) => {
        if (document.querySelector('dialog[open]') || e.isComposing) return;
        if (e.key === 'Escape') {
            if (side.isOpen()) side.open(false);
            else stop();
        } else if (e.key === '/' && !writing(e.target)) {
            e.preventDefault();
            $('text').focus();
        } else if (e.altKey && e.code === 'KeyN') {
            e.preventDefault();
            createNew();
        }
    });
}

// ---- the key ----

function askForKey(wasWrong) {
    $('key-why').textContent = wasWrong ? 'The server does not know this key.' : 'This server asks for a key.';
    $('key-text').value = '';
    $('key').returnValue = '';
    $('key').showModal();
    $('key-text').focus();
    return new Promise((give) => {
        $('key').addEventListener(
            'close',
            () => give($('key').returnValue === 'ok' && $('key-text').value ? $('key-text').value : null),
            { once: true },
        );
    });
}

// ---- the beginning ----

async function learn() {
    await api.untilReady((why) => {
        $('model').textContent = why;
    });
    props = await api.askJson('props');
    ready = true;
    const n = props.default_generation_settings?.n_ctx;
    $('model').textContent = props.model_alias + (n ? ` · context ${n.toLocaleString('en')}` : '');
    gauge.context(n);
    settings.showDefaults(props);
    showState();
    gauge.poll();
}

async function connect() {
    try {
        await learn();
    } catch (e) {
        $('model').textContent = '';
        notice(e.status === 401 ? 'This server asks for an API key.' : e.message);
        toast('Not connected.', 'Try again', connect);
    }
}

async function kept() {
    const list = await store.list(),
        bytes = list.reduce((sum, e) => sum + e.bytes, 0);
    $('kept').textContent =
        `${list.length} conversations, ${(bytes / 1e6).toFixed(1)} MB in this browser. ` +
        `At most ${store.MOST} and ${store.MOST_BYTES >> 20} MiB are kept: the oldest make room.`;
    $('forget-key').hidden = !api.hasKey();
}

function wireSettings() {
    settings.wire({
        get: () => current.system,
        set: (text) => {
            current.system = text;
            if (current.messages.length) systemChanged(current);
        },
    });
    $('settings-close').append(icon('close'));
    $('settings-open').append(icon('settings'));
    $('settings-open').addEventListener('click', kept);
    $('export').addEventListener('click', exportAll);
    $('delete-all').addEventListener('click', removeAll);
    $('forget-key').addEventListener('click', () => {
        api.setKey('');
        $('forget-key').hidden = true;
    });
}

let systemTimer;
function systemChanged(c) {
    clearTimeout(systemTimer);
    systemTimer = setTimeout(() => saveInTurn(c), 500);
}

async function begin() {
    api.onKeyWanted(askForKey);
    $('key-cancel').addEventListener('click', () => $('key').close('cancel'));
    view.wire();
    gauge.wire();
    side.wire({ create: createNew, rename, remove: removeOne });
    wireSettings();
    wireField();
    wireKeys();
    $('notice').lastElementChild.append(icon('close'));
    $('notice').lastElementChild.addEventListener('click', () => notice(''));
    const lasting = await store.open();
    if (!lasting) $('side-note').textContent = 'This browser keeps nothing: conversations end with the page.';
    store.onChange(async (id) => {
        if ((id === null || id === current.id) && !runOf(current) && !saving.get(current) && !view.editing())
            await open(location.hash.slice(1));
        else await side.refresh(current.id);
    });
    addEventListener('hashchange', () => {
        side.open(false);
        open(location.hash.slice(1));
    });
    addEventListener('pagehide', () => {
        for (const run of runs.values()) store.save(run.conversation);
    });
    await open(location.hash.slice(1));
    if (!touch.matches) $('text').focus({ preventScroll: true }); /* there it would bring the keyboard up */
    connect();
}

document.addEventListener('DOMContentLoaded', begin);
