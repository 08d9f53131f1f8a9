// Settings: what requests say beside the conversation, and how the page looks. Kept in this browser.
import { $, h } from './dom.js';

const KEY = 'tawny.settings';
// name in requests, label, smallest, largest, step, what it does
const FIELDS = [
    ['temperature', 'Temperature', 0, 1e6, 'any', '0: always the most probable token'],
    ['top_k', 'Top-k', 0, 2147483647, 1, 'of the k most probable tokens; 0: of all'],
    ['top_p', 'Top-p', 0, 1, 'any', 'of the fewest tokens whose probabilities reach it'],
    ['min_p', 'Min-p', 0, 1, 'any', 'of those at least so probable, relative to the best'],
    ['max_tokens', 'Max tokens', -1, 2147483647, 1, 'of an answer; -1: until the context is full'],
    ['seed', 'Seed', -1, 9007199254740991, 1, 'the same seed gives the same answer; -1: any'],
    ['repeat_penalty', 'Repeat penalty', 0, 1e6, 'any', '1: off'],
    ['presence_penalty', 'Presence penalty', -2000, 2000, 'any', 'off what is there already; 0: off'],
    ['frequency_penalty', 'Frequency penalty', -2000, 2000, 'any', 'the same, times its count; 0: off'],
    ['typical_p', 'Typical-p', 0, 1, 'any', '1: off'],
    ['top_n_sigma', 'Top-n-sigma', -1, 1e6, 'any', 'within so many standard deviations of the best; -1: off'],
    ['dry_multiplier', 'DRY multiplier', 0, 1e6, 'any', 'against repeated sequences; 0: off'],
];

let values = { fields: {}, stop: '', effort: '', fingerprint: false, theme: 'auto', system: '' };

export function load() {
    try {
        const kept = JSON.parse(localStorage.getItem(KEY));
        if (kept && typeof kept === 'object') values = { ...values, ...kept, fields: { ...kept.fields } };
    } catch {
        /* the usual ones */
    }
    applyTheme();
}

function keep() {
    try {
        localStorage.setItem(KEY, JSON.stringify(values));
    } catch {
        /* until the page is closed */
    }
}

export function applyTheme() {
    const forced = values.theme === 'light' || values.theme === 'dark';
    if (forced) document.documentElement.dataset.theme = values.theme;
    else delete document.documentElement.dataset.theme;
}

export const defaultSystem = () => values.system;

// What a request says beside its messages.
export function ofRequest() {
    const body = {};
    for (const [name] of FIELDS) {
        const text = values.fields[name];
        if (text !== undefined && text !== '' && Number.isFinite(Number(text))) body[name] = Number(text);
    }
    const stop = values.stop.split('\n').filter((s) => s !== '');
    if (stop.length) body.stop = stop;
    if (values.effort) body.reasoning_effort = values.effort;
    if (values.fingerprint) body.fingerprint = true;
    return body;
}

function fieldNode([name, label, min, max, step, doc]) {
    const input = h('input', {
        type: 'number',
        id: `f-${name}`,
        min,
        max,
        step,
        inputmode: min < 0 ? 'text' : 'decimal',
        'aria-describedby': `d-${name}`,
        autocomplete: 'off',
    });
    input.addEventListener('input', () => {
        const bad = !input.validity.valid;
        input.setAttribute('aria-invalid', String(bad));
        if (bad) return;
        values.fields[name] = input.value;
        keep();
    });
    return h(
        'div',
        { class: 'field' },
        h('label', { for: input.id }, label),
        input,
        h('p', { class: 'note', id: `d-${name}` }, doc),
    );
}

// The server's own values, in grey; -1 and the largest number are words.
export function showDefaults(props) {
    const params = props.default_generation_settings?.params || {};
    for (const [name] of FIELDS) {
        const value = params[name === 'max_tokens' ? 'n_predict' : name];
        const input = $(`f-${name}`);
        if (value === undefined) continue;
        const word =
            name === 'seed' && value === 4294967295 ? 'any' : name === 'max_tokens' && value < 0 ? 'no limit' : '';
        input.placeholder = word || String(Math.round(value * 1e4) / 1e4);
    }
    $('effort-row').hidden = !props.chat_template_caps?.supports_reasoning_effort;
}

const BOUND = [
    ['stop', 'value'],
    ['effort', 'value'],
    ['fingerprint', 'checked'],
]; // by their ids
const themes = () => document.querySelectorAll('input[name=theme]');

function fill() {
    for (const [name] of FIELDS) {
        $(`f-${name}`).value = values.fields[name] ?? '';
        $(`f-${name}`).removeAttribute('aria-invalid');
    }
    for (const [id, property] of BOUND) $(id)[property] = values[id];
    for (const radio of themes()) radio.checked = radio.value === values.theme;
}

// system: { get(), set(text) } of the conversation that is open
export function wire(system) {
    $('fields').append(...FIELDS.map(fieldNode));
    for (const [id, property] of BOUND)
        $(id).addEventListener('input', () => {
            values[id] = $(id)[property];
            keep();
        });
    for (const radio of themes())
        radio.addEventListener('change', () => {
            values.theme = radio.value;
            keep();
            applyTheme();
        });
    fill();
    addEventListener('storage', (e) => {
        /* another tab changed them */
        if (e.key !== KEY) return;
        load();
        fill();
    });
    const asDefault = () => {
        if (!$('system-default').checked) return;
        values.system = $('system').value;
        keep();
    };
    $('system').addEventListener('input', () => {
        system.set($('system').value);
        asDefault();
    });
    $('system-default').addEventListener('change', () => {
        if (!$('system-default').checked) {
            values.system = '';
            keep();
        }
        asDefault();
    });
    $('reset').addEventListener('click', () => {
        values.fields = {};
        values.stop = values.effort = '';
        fill();
        keep();
    });
    $('settings-open').addEventListener('click', () => {
        fill();
        $('system').value = system.get();
        $('system-default').checked = values.system !== '' && values.system === system.get();
        $('settings').showModal();
    });
}
