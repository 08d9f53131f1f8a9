// How fast it goes: tokens a second of the answer on screen, and GB/s of weights read beside what the memory can do.
import { $, h } from './dom.js';
import { askJson, metrics } from './api.js';

const WINDOW = 1500; // ms over which the rate of a running answer is taken
let running = 0,
    timer = null,
    points = [];
const now = { rate: 0, gbs: 0, possible: 0, timings: null, metrics: {}, nCtx: 0 };

export const number = (v, digits = 3) => {
    if (!Number.isFinite(v)) return '–';
    const whole = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.max(Math.abs(v), 1e-9))));
    return v.toLocaleString('en', { maximumFractionDigits: v >= 1000 ? 0 : Math.min(whole, 3) });
};

export function context(n) {
    now.nCtx = n;
}

// Timings as they stand with each piece of an answer.
export function timings(t, last) {
    now.timings = t;
    if (t.predicted_n > 1 && last) now.rate = t.predicted_per_second;
    points.push({ n: t.predicted_n, ms: t.predicted_ms });
    while (points.length > 2 && points[0].ms < t.predicted_ms - WINDOW) points.shift();
    const first = points[0];
    if (!last && t.predicted_ms > first.ms)
        now.rate = ((t.predicted_n - first.n) / (t.predicted_ms - first.ms)) * 1000;
    draw();
}

export function begin() {
    running++;
    points = [];
    $('gauge').classList.add('live');
    poll();
}
export function end() {
    running--;
    points = [];
    if (!running) $('gauge').classList.remove('live');
    poll();
}

async function look() {
    if (document.hidden) return;
    try {
        const m = await metrics();
        now.metrics = m;
        now.gbs = m['tawny:read_gigabytes_per_second'] || 0;
        now.possible = m['tawny:read_gigabytes_per_second_possible'] || 0;
    } catch {
        /* the conversation tells of it */
    }
    draw();
}

// Asks while something runs, or while somebody looks at the figures.
export async function poll() {
    clearTimeout(timer);
    await look();
    clearTimeout(timer);
    if (running || $('gauge').open) timer = setTimeout(poll, 1000);
}

function facts() {
    const t = now.timings,
        m = now.metrics,
        list = [];
    if (t) {
        list.push(['Generation', `${number(t.predicted_per_second)} tok/s, ${number(t.predicted_n, 9)} tokens`]);
        list.push([
            'Prompt',
            `${number(t.prompt_per_second)} tok/s, ${number(t.prompt_n, 9)} tokens${t.cache_n ? ` + ${number(t.cache_n, 9)} cached` : ''}`,
        ]);
        if (now.nCtx)
            list.push([
                'Context',
                `${number(t.cache_n + t.prompt_n + t.predicted_n, 9)} of ${number(now.nCtx, 9)} tokens`,
            ]);
    }
    list.push(['Weights read', now.gbs ? `${number(now.gbs)} GB/s` : 'nothing yet']);
    list.push([
        'Memory can',
        now.possible
            ? `${number(now.possible)} GB/s${now.gbs ? ` (${Math.round((100 * now.gbs) / now.possible)}% reached)` : ''}`
            : 'not measured',
    ]);
    if ('tawny:slots' in m)
        list.push([
            'Server',
            `${m['llamacpp:requests_processing']} of ${m['tawny:slots']} slots busy, ${m['llamacpp:requests_deferred']} waiting`,
        ]);
    return list;
}

function draw() {
    const share = now.possible ? Math.min(100, (100 * now.gbs) / now.possible) : 0;
    $('rate').textContent = now.rate ? number(now.rate) : '–';
    $('bandwidth').textContent = !now.gbs
        ? ''
        : now.possible
          ? `${number(now.gbs)} of ${number(now.possible)} GB/s`
          : `${number(now.gbs)} GB/s`;
    $('meter').hidden = !now.possible;
    $('meter').firstElementChild.style.width = `${share}%`;
    $('meter').setAttribute('aria-valuenow', String(Math.round(share)));
    $('meter').setAttribute(
        'aria-valuetext',
        now.possible ? `${number(now.gbs)} of ${number(now.possible)} GB/s` : '',
    );
    $('measure').textContent = now.possible ? 'Measure the memory again' : 'Measure what the memory can do';
    if ($('gauge').open)
        $('facts').replaceChildren(
            ...facts().map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
        );
}

async function measure() {
    if ($('measure').ariaDisabled === 'true') return;
    $('measure').ariaDisabled = 'true'; /* one that is disabled would lose the focus */
    try {
        await askJson('measure', { body: {} });
        await look();
    } catch (e) {
        $('measure').textContent = e.message;
    }
    $('measure').ariaDisabled = 'false';
}

export function wire() {
    $('gauge').addEventListener('toggle', poll);
    $('measure').addEventListener('click', measure);
    document.addEventListener('click', (e) => {
        if (!$('gauge').contains(e.target)) $('gauge').open = false;
    });
    $('gauge').addEventListener('keydown', (e) => {
        if (e.key !== 'Escape' || !$('gauge').open) return;
        e.stopPropagation();
        $('gauge').open = false;
        $('gauge').firstElementChild.focus();
    });
    draw();
}
