// Conversations in this browser (IndexedDB), bounded: the oldest make room. Where there is no database (some private
// windows) they live as long as the page.
import { newId } from './dom.js';

export const MOST = 200,
    MOST_BYTES = 24 << 20;
const channel = 'BroadcastChannel' in self ? new BroadcastChannel('tawny') : null;
let db = null,
    memory = null;

const done = (request) =>
    new Promise((yes, no) => {
        request.onsuccess = () => yes(request.result);
        request.onerror = () => no(request.error);
    });
const ended = (tx) =>
    new Promise((yes, no) => {
        tx.oncomplete = yes;
        tx.onerror = tx.onabort = () => no(tx.error);
    });

export async function open() {
    try {
        const request = indexedDB.open('tawny', 1);
        request.onupgradeneeded = () => {
            request.result.createObjectStore('list', { keyPath: 'id' });
            request.result.createObjectStore('conversations', { keyPath: 'id' });
        };
        db = await done(request);
        db.onversionchange = () => db.close();
        return true;
    } catch {
        memory = new Map();
        return false;
    }
}

// Another tab changed conversation `id` (null: several).
export function onChange(f) {
    channel?.addEventListener('message', (e) => f(e.data.id));
}
const announce = (id) => channel?.postMessage({ id });

// [{ id, title, created, updated, version, bytes }], the newest first.
export async function list() {
    const all = memory
        ? [...memory.values()].map((c) => c.entry)
        : await done(db.transaction('list').objectStore('list').getAll());
    return all.sort((a, b) => b.updated - a.updated);
}

export async function load(id) {
    const found = memory
        ? memory.get(id)?.text
        : await done(db.transaction('conversations').objectStore('conversations').get(id));
    if (!found) return null;
    return memory ? structuredClone(found) : found;
}

export const create = (system) => ({
    id: newId(),
    title: '',
    created: Date.now(),
    updated: Date.now(),
    version: 0,
    system,
    messages: [],
});

function entryOf(c, text) {
    return {
        id: c.id,
        title: c.title,
        created: c.created,
        updated: c.updated,
        version: c.version,
        bytes: 2 * text.length,
    };
}

// Keeps it. Where another tab has changed or deleted what is kept under its id, it becomes a conversation of its own: true.
export async function save(c) {
    const plain = JSON.parse(JSON.stringify(c));
    let moved = false;
    if (memory) {
        plain.version = ++c.version;
        memory.set(c.id, { entry: entryOf(c, JSON.stringify(plain)), text: plain });
        return false;
    }
    const tx = db.transaction(['list', 'conversations'], 'readwrite'),
        entries = tx.objectStore('list');
    const finish = ended(tx);
    const there = await done(entries.get(c.id));
    if ((there?.version ?? 0) !== c.version) {
        moved = true;
        c.id = plain.id = newId();
    }
    plain.version = ++c.version;
    entries.put(entryOf(c, JSON.stringify(plain)));
    tx.objectStore('conversations').put(plain);
    await makeRoom(tx, c.id);
    await finish;
    announce(c.id);
    return moved;
}

// Within the transaction: the oldest go until the bounds are kept. keep stays in any case.
async function makeRoom(tx, keep) {
    const all = (await done(tx.objectStore('list').getAll())).sort((a, b) => a.updated - b.updated);
    let n = all.length,
        bytes = all.reduce((sum, e) => sum + e.bytes, 0);
    for (const e of all) {
        if (n <= MOST && bytes <= MOST_BYTES) break;
        if (e.id === keep) continue;
        tx.objectStore('list').delete(e.id);
        tx.objectStore('conversations').delete(e.id);
        n--;
        bytes -= e.bytes;
    }
}

export async function remove(id) {
    if (memory) return memory.delete(id);
    const tx = db.transaction(['list', 'conversations'], 'readwrite');
    tx.objectStore('list').delete(id);
    tx.objectStore('conversations').delete(id);
    await ended(tx);
    announce(id);
}

export async function removeAll() {
    if (memory) return memory.clear();
    const tx = db.transaction(['list', 'conversations'], 'readwrite');
    tx.objectStore('list').clear();
    tx.objectStore('conversations').clear();
    await ended(tx);
    announce(null);
}

export async function all() {
    const texts = memory
        ? [...memory.values()].map((c) => c.text)
        : await done(db.transaction('conversations').objectStore('conversations').getAll());
    return texts.sort((a, b) => b.updated - a.updated);
}
