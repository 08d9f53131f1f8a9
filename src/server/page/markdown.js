// Answers as Markdown. What a model writes is hostile: markup in it stays text (markdown-it without HTML), what comes out
// goes through DOMPurify with a short list of elements, and the page's Content-Security-Policy stands behind both.
import MarkdownIt from 'markdown-it';
import DOMPurify from 'dompurify';
import hljs from './languages.js';
import { h, icon, copyFrom } from './dom.js';

const MOST_HIGHLIGHTED = 50000; // characters of a block of code; longer ones stay plain

const md = new MarkdownIt({ html: false, linkify: true, highlight });
md.linkify.set({ fuzzyLink: false, fuzzyEmail: false });

const highlighted = new Map(); // blocks are rendered again while an answer grows
function highlight(code, language) {
    if (!hljs.getLanguage(language) || code.length > MOST_HIGHLIGHTED) return '';
    const known = `${language}\n${code}`;
    let html = highlighted.get(known);
    if (html === undefined) {
        html = hljs.highlight(code, { language, ignoreIllegals: true }).value;
        if (highlighted.size >= 64) highlighted.delete(highlighted.keys().next().value);
        highlighted.set(known, html);
    }
    return html;
}

// A picture would be asked of another site, and its address could carry the conversation there: it becomes a link.
md.renderer.rules.image = (tokens, i) => {
    const token = tokens[i],
        url = token.attrGet('src') || '',
        text = md.utils.escapeHtml(token.content || url);
    return md.validateLink(url) ? `<a href="${md.utils.escapeHtml(url)}">${text}</a>` : text;
};
// Headings go below those of the page.
for (const rule of ['heading_open', 'heading_close']) {
    md.renderer.rules[rule] = (tokens, i, options, env, self) => {
        tokens[i].tag = `h${Math.min(6, Number(tokens[i].tag.slice(1)) + 1)}`;
        return self.renderToken(tokens, i, options);
    };
}
// The policy forbids styles in attributes: alignment becomes a class.
for (const rule of ['th_open', 'td_open']) {
    md.renderer.rules[rule] = (tokens, i, options, env, self) => {
        const found = /text-align:(\w+)/.exec(tokens[i].attrGet('style') || '');
        tokens[i].attrs = found ? [['class', `align-${found[1]}`]] : null;
        return self.renderToken(tokens, i, options);
    };
}
md.renderer.rules.table_open = () => '<div class="table"><table>';
md.renderer.rules.table_close = () => '</table></div>';

const allowed = {
    ALLOWED_TAGS: [
        'p',
        'br',
        'strong',
        'em',
        's',
        'code',
        'pre',
        'blockquote',
        'ul',
        'ol',
        'li',
        'a',
        'h2',
        'h3',
        'h4',
        'h5',
        'h6',
        'hr',
        'div',
        'table',
        'thead',
        'tbody',
        'tr',
        'th',
        'td',
        'span',
    ],
    ALLOWED_ATTR: ['href', 'title', 'class', 'start'],
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
};
DOMPurify.addHook('afterSanitizeAttributes', (node) => {
    if (node.nodeName !== 'A') return;
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer nofollow');
});

function dressCode(pre) {
    const code = pre.querySelector('code') || pre;
    const language = /language-([\w+#.-]+)/.exec(code.className)?.[1] || '';
    const button = h(
        'button',
        {
            type: 'button',
            class: 'icon',
            'aria-label': 'Copy the code',
            title: 'Copy the code',
            onclick: () => copyFrom(button, code.textContent),
        },
        icon('copy'),
    );
    const box = h('div', { class: 'code' }, h('div', { class: 'code-top' }, h('span', {}, language), button));
    pre.replaceWith(box);
    pre.tabIndex = 0;
    box.append(pre);
}

function nodesOf(html) {
    const fragment = DOMPurify.sanitize(html, allowed);
    fragment.querySelectorAll('pre').forEach(dressCode);
    fragment.querySelectorAll('.table').forEach((t) => {
        t.tabIndex = 0;
    });
    return fragment;
}

// The HTML of each block at the top level.
function blocks(text) {
    const env = {},
        tokens = md.parse(text, env),
        list = [];
    for (let i = 0, from = 0; i < tokens.length; i++) {
        if (tokens[i].level !== 0 || tokens[i].nesting === 1) continue;
        list.push(md.renderer.render(tokens.slice(from, i + 1), md.options, env));
        from = i + 1;
    }
    return list;
}

// Shows text in node. Blocks that are as they were stay the same nodes: selections and focus in them survive.
export function show(node, text) {
    const list = blocks(text),
        old = node.blocks || [];
    let same = 0;
    while (same < list.length && same < old.length && list[same] === old[same]) same++;
    while (node.children.length > same) node.lastElementChild.remove();
    for (const html of list.slice(same)) {
        const block = h('div', { class: 'block' });
        block.append(nodesOf(html));
        node.append(block);
    }
    node.blocks = list;
}
