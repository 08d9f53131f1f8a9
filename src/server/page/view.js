// The conversation on screen.
import { $, h, icon, iconButton, copyFrom } from './dom.js';
import { show } from './markdown.js';
import { number } from './gauge.js';

const NEAR = 60; // pixels from the end that still count as there
let nodes = []; // an article a message, in order
let follow = true;
let drawn = 0,
    cost = 0,
    waiting = 0; // of the answer that runs

const scroll = () => $('scroll');
const atEnd = () => scroll().scrollHeight - scroll().scrollTop - scroll().clientHeight < NEAR;

export function toEnd() {
    follow = true;
    scroll().scrollTop = scroll().scrollHeight;
    $('latest').hidden = true;
}

export function wire() {
    scroll().addEventListener(
        'scroll',
        () => {
            follow = atEnd();
            $('latest').hidden = follow;
        },
        { passive: true },
    );
    $('latest').append(icon('down'));
    $('latest').addEventListener('click', toEnd);
    new ResizeObserver(() => {
        if (follow) toEnd();
    }).observe(scroll());
}

const FINISH = { length: 'Cut off: the limit of tokens was reached.', stopped: 'Stopped.', open: 'Not finished.' };

function statsOf(m) {
    const s = m.stats,
        parts = [];
    if (s) {
        parts.push(`${number(s.n, 9)} tokens`);
        if (s.n > 1) parts.push(`${number(s.rate)} tok/s`);
        parts.push(
            `prompt ${number(s.prompt, 9)}${s.cached ? ` + ${number(s.cached, 9)} cached` : ''} in ${number(s.ms / 1000)} s`,
        );
    }
    if (m.fingerprint) parts.push(m.fingerprint);
    return parts.join(' · ');
}

// [read, of so many] tokens of the prompt, or [] where it waits for others.
function progressOf(m) {
    if (!m.progress || !m.pending) return '';
    const [done, all] = m.progress;
    return all ? `Reading the prompt: ${number(done, 9)} of ${number(all, 9)} tokens` : 'Waiting for other requests';
}

// ---- one message ----

function userNode(m, actions) {
    const copyButton = iconButton('copy', 'Copy the message', () => copyFrom(copyButton, m.content));
    const node = h(
        'article',
        { class: 'msg user', 'aria-label': 'You' },
        h('div', { class: 'text' }, m.content),
        h(
            'div',
            { class: 'tools' },
            iconButton('edit', 'Edit the message', () => edit(node, m, actions)),
            copyButton,
        ),
    );
    return node;
}

function edit(node, m, actions) {
    const before = [...node.childNodes];
    const field = h('textarea', { 'aria-label': 'Message', rows: Math.min(12, m.content.split('\n').length + 1) });
    const back = () => {
        node.replaceChildren(...before);
        node.classList.remove('editing');
        node.querySelector('button').focus();
    };
    const form = h(
        'form',
        {},
        field,
        h(
            'div',
            { class: 'row end' },
            h('button', { type: 'button', onclick: back }, 'Cancel'),
            h('button', { type: 'submit', class: 'primary' }, 'Send'),
        ),
    );
    form.addEventListener('submit', (e) => {
        e.preventDefault();
        if (field.value.trim()) actions.edit(m, field.value);
    });
    field.addEventListener('keydown', (e) => {
        if (e.key === 'Escape') {
            e.stopPropagation();
            back();
        }
        if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) {
            e.preventDefault();
            form.requestSubmit();
        }
    });
    field.value = m.content;
    node.classList.add('editing');
    node.replaceChildren(form);
    field.focus();
}

function modelNode(m, actions) {
    const copyButton = iconButton('copy', 'Copy the answer', () => copyFrom(copyButton, m.content));
    const thought = h('div', { class: 'md' }),
        summary = h('summary', {}, ''),
        text = h('div', { class: 'md' });
    const details = h('details', { class: 'thought', hidden: true }, summary, thought);
    const wait = h('div', { class: 'wait', hidden: true }, h('i'), h('i'), h('i')),
        progress = h('span');
    wait.append(progress);
    const note = h('p', { class: 'end-note', hidden: true }),
        error = h('p', { class: 'error', hidden: true });
    const stats = h('span', { class: 'stats' });
    const again = iconButton('again', 'Regenerate the answer', () => actions.again(m));
    const tools = h('div', { class: 'tools' }, stats, copyButton, again);
    const node = h(
        'article',
        { class: 'msg model', 'aria-label': 'Answer' },
        details,
        text,
        wait,
        note,
        error,
        tools,
    );
    const showThought = () => {
        if (details.open) show(thought, m.reasoning || '');
    };
    details.addEventListener('toggle', showThought);
    node.update = (last) => {
        const thinks = m.pending && !m.content;
        details.hidden = !m.reasoning;
        summary.textContent = thinks
            ? 'Thinking …'
            : m.thought
              ? `Thought for ${number(m.thought / 1000, 2)} s`
              : 'Thoughts';
        showThought();
        show(text, m.content);
        wait.hidden = !m.pending || m.content !== '';
        progress.textContent = progressOf(m);
        note.textContent = FINISH[m.finish] || '';
        note.hidden = note.textContent === '';
        error.hidden = !m.error;
        error.textContent = m.error || '';
        tools.hidden = Boolean(m.pending);
        copyButton.hidden = m.content === '';
        again.hidden = !last;
        stats.textContent = statsOf(m);
        node.setAttribute('aria-busy', String(Boolean(m.pending)));
    };
    return node;
}

// ---- all ----

function empty() {
    return h(
        'div',
        { class: 'empty' },
        h('img', { src: 'page/icon.svg', alt: '', width: 56, height: 56 }),
        h('p', {}, 'What is said here is computed on this server’s CPU, and stays between it and this browser.'),
    );
}

// running: the message that a run of this tab fills, or null.
export function showAll(conversation, running, actions) {
    nodes = conversation.messages.map((m) => {
        if (m.pending && m !== running) {
            /* another tab is at it, or was closed in the middle */
            delete m.pending;
            delete m.progress;
            m.finish = 'open';
        }
        return m.role === 'user' ? userNode(m, actions) : modelNode(m, actions);
    });
    nodes.forEach((n, i) => n.update?.(i === nodes.length - 1));
    $('messages').replaceChildren(...(nodes.length ? nodes : [empty()]));
    spoken = 0;
    drawn = cost = 0;
    toEnd();
}

// The last message grew: drawn at once where drawing is quick, else less often.
export function showLast(over) {
    const node = nodes.at(-1);
    if (!node?.update) return;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame((at) => {
        if (!over && at - drawn < 6 * cost) {
            showLast(false);
            return;
        }
        const start = performance.now();
        node.update(true);
        if (follow) scroll().scrollTop = scroll().scrollHeight;
        cost = performance.now() - start;
        drawn = at;
        speak(node, over);
    });
}

// Blocks that are whole are said to those who listen, a piece each; the last one when the answer is over.
// Some seconds later they are gone: who reads through the page would meet them twice.
let spoken = 0,
    said;
export function hush() {
    spoken = 0;
    clearTimeout(said);
    $('live').replaceChildren();
}
function speak(node, over) {
    const blocks = node.querySelectorAll(':scope > .md > .block');
    for (; spoken < blocks.length - (over ? 0 : 1); spoken++)
        $('live').append(h('p', {}, blocks[spoken].textContent));
    if (over) said = setTimeout(hush, 10000);
}

export const editing = () => document.querySelector('.editing') !== null;
export function editLastOfUser() {
    const mine = nodes.filter((n) => n.classList.contains('user')).at(-1);
    mine?.querySelector('.tools button')?.click();
}
