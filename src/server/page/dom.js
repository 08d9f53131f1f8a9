// Small helpers over the document. Nothing here takes markup: texts become text nodes.

export const $ = (id) => document.getElementById(id);

// h('button', { class: 'icon', onclick: f }, 'text', node, ...)
export function h(name, about = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(about)) {
        if (value === undefined || value === null || value === false) continue;
        if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
        else if (key === 'class') node.className = value;
        else node.setAttribute(key, value === true ? '' : value);
    }
    node.append(...children.filter((c) => c !== null && c !== undefined && c !== false));
    return node;
}

const shapes = {
    menu: 'M4 7h16M4 12h16M4 17h16',
    close: 'M6 6l12 12M18 6L6 18',
    settings:
        'M4 7h9m5 0h2M4 17h2m5 0h9M13 7a2.5 2.5 0 1 0 5 0 2.5 2.5 0 1 0-5 0M6 17a2.5 2.5 0 1 0 5 0 2.5 2.5 0 1 0-5 0',
    plus: 'M12 5v14M5 12h14',
    send: 'M12 19V5m-6 6 6-6 6 6',
    stop: 'M7 7h10v10H7z',
    copy: 'M9 9h10v10H9zM5 15V5h10',
    check: 'M5 12.5l4.5 4.5L19 7.5',
    again: 'M19 12a7 7 0 1 1-2.2-5.1L19 9M19 4v5h-5',
    edit: 'M5 19l1-4L16 5l3 3L9 18z',
    trash: 'M5 7h14M10 7V5h4v2M7 7l1 12h8l1-12',
    down: 'M12 5v14m6-6-6 6-6-6',
};

export function icon(name) {
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    svg.setAttribute('viewBox', '0 0 24 24');
    svg.setAttribute('aria-hidden', 'true');
    path.setAttribute('d', shapes[name]);
    svg.append(path);
    return svg;
}

export const iconButton = (name, label, onclick, about = {}) =>
    h('button', { type: 'button', class: 'icon', 'aria-label': label, title: label, onclick, ...about }, icon(name));

// Only pages over HTTPS or of this machine may use the clipboard's interface; others select and copy.
export async function copy(text) {
    try {
        await navigator.clipboard.writeText(text);
    } catch {
        const field = h('textarea', { class: 'hidden', readonly: true });
        field.value = text;
        document.body.append(field);
        field.select();
        document.execCommand('copy');
        field.remove();
    }
}

export async function copyFrom(button, text) {
    const focused = document.activeElement;
    await copy(text);
    focused?.focus();
    button.replaceChildren(icon('check'));
    setTimeout(() => button.replaceChildren(icon('copy')), 1500);
    say('Copied');
}

// Said to those who listen, at once.
export function say(text) {
    $('status').textContent = text;
}

let toastTimer;
// A line at the bottom for some seconds, with something to do about it.
export function toast(text, action, onclick) {
    const node = $('toast');
    node.replaceChildren(h('span', {}, text));
    if (action)
        node.append(
            h(
                'button',
                {
                    type: 'button',
                    onclick: () => {
                        node.hidden = true;
                        onclick();
                    },
                },
                action,
            ),
        );
    node.hidden = false;
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => {
        node.hidden = true;
    }, 8000);
}

export const newId = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(9)), (b) => b.toString(36).padStart(2, '0')).join('');
