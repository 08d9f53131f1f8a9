// The list of conversations.
import { $, h, icon, iconButton } from './dom.js';
import * as store from './store.js';

let entries = [],
    current = null,
    actions;

function rename(item, entry) {
    const field = h('input', { type: 'text', 'aria-label': 'Title', maxlength: 120 });
    let over = false;
    const end = (keep) => {
        if (over) return;
        over = true;
        if (keep && field.value.trim()) actions.rename(entry.id, field.value.trim());
        else draw();
    };
    field.value = entry.title;
    field.addEventListener('keydown', (e) => {
        if (e.key === 'Enter') end(true);
        if (e.key === 'Escape') {
            e.stopPropagation();
            end(false);
        }
    });
    field.addEventListener('blur', () => end(true));
    item.replaceChildren(field);
    field.select();
}

function itemOf(entry) {
    const title = entry.title || 'Untitled';
    const item = h(
        'li',
        {},
        h('a', { href: `#${entry.id}`, title, 'aria-current': entry.id === current ? 'page' : null }, title),
        iconButton('edit', `Rename: ${title}`, () => rename(item, entry)),
        iconButton('trash', `Delete: ${title}`, () => actions.remove(entry)),
    );
    return item;
}

function draw() {
    const wanted = $('filter').value.trim().toLowerCase();
    const shown = wanted ? entries.filter((e) => e.title.toLowerCase().includes(wanted)) : entries;
    $('list').replaceChildren(...shown.map(itemOf));
    $('filter').hidden = entries.length < 8 && !wanted;
}

export async function refresh(id) {
    current = id;
    entries = await store.list();
    draw();
}

export function open(yes) {
    document.body.classList.toggle('side-open', yes);
    $('side-open').setAttribute('aria-expanded', String(yes));
    $('scrim').hidden = !yes;
    document.querySelector('main').inert = yes;
    if (yes) $('side-close').focus();
    else if ($('side').contains(document.activeElement)) $('side-open').focus();
}
export const isOpen = () => document.body.classList.contains('side-open');

export function wire(todo) {
    actions = todo;
    $('side-open').append(icon('menu'));
    $('side-close').append(icon('close'));
    $('new').prepend(icon('plus'));
    $('side-open').addEventListener('click', () => open(true));
    $('side-close').addEventListener('click', () => open(false));
    $('scrim').addEventListener('click', () => open(false));
    $('filter').addEventListener('input', draw);
    $('new').addEventListener('click', actions.create);
    matchMedia('(min-width: 50rem)').addEventListener('change', () => open(false));
}
