// What the page does: chats, several tabs, settings, what is kept.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import {
    answers,
    begin,
    ended,
    isClean,
    metric,
    open,
    profile,
    say,
    serve,
    theText,
    tinyModel,
    titles,
} from './harness.mjs';

const { server, slow } = await begin();

test('chat, reload, a second tab', async () => {
    const context = await profile(),
        page = await open(context, server);
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
    const context = await profile(),
        page = await open(context, slow);
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
    for (const [tab, word] of [
        [page, 'one'],
        [second, 'two'],
    ]) {
        await tab.reload();
        await theText(tab.locator('.msg.user').last(), word);
        await theText(answers(tab).last(), `${word}: word`);
    }
    isClean(context, slow);
    await context.close();
});

test('stop, regenerate, edit, undo', async () => {
    const context = await profile(),
        page = await open(context, slow);
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

test(
    'stop frees the slot',
    { skip: !existsSync(process.env.SMALL_MODEL) && 'no model is there that takes its time (make demo)' },
    async () => {
        const real = await serve(process.env.SMALL_MODEL, '-c', '4096');
        const context = await profile(),
            page = await open(context, real);
        await page.route('**/v1/chat/completions', (route) =>
            /* it does not end by itself */
            route.continue({
                postData: JSON.stringify({ ...route.request().postDataJSON(), ignore_eos: true, max_tokens: 3000 }),
            }),
        );
        await page.fill('#text', 'Count from one to one thousand, in words.');
        await page.press('#text', 'Enter');
        await answers(page).locator('.block').first().waitFor();
        await page.keyboard.press('Escape');
        await ended(page);
        for (let i = 0; i < 50 && (await metric(real, 'llamacpp:requests_processing')) > 0; i++)
            await new Promise((go) => setTimeout(go, 20));
        assert.equal(await metric(real, 'llamacpp:requests_processing'), 0);
        assert.equal(await metric(real, 'tawny:requests_cancelled_total'), 1);
        isClean(context, real);
        await context.close();
        await real.stop();
    },
);

test('settings go into requests; wrong ones do not', async () => {
    const context = await profile(),
        page = await open(context, slow);
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
    assert.deepEqual(body, {
        temperature: 0.25,
        top_k: 7,
        seed: 42,
        stop: ['END', 'STOP'],
        fingerprint: true,
        stream: true,
        stream_options: { include_usage: true },
        timings_per_token: true,
    });
    isClean(context, slow);
    await context.close();
});

test('conversations are bounded: the oldest make room', async () => {
    const context = await profile(),
        page = await open(context, server);
    await page.evaluate(
        () =>
            new Promise((go, no) => {
                const open = indexedDB.open('tawny');
                open.onsuccess = () => {
                    const tx = open.result.transaction(['list', 'conversations'], 'readwrite');
                    for (let i = 0; i < 230; i++) {
                        const c = {
                            id: `old${i}`,
                            title: `old ${i}`,
                            created: i,
                            updated: i,
                            version: 1,
                            bytes: 100,
                        };
                        tx.objectStore('list').put(c);
                        tx.objectStore('conversations').put({ ...c, messages: [], system: '' });
                    }
                    tx.oncomplete = () => {
                        open.result.close();
                        go();
                    };
                    tx.onerror = no;
                };
            }),
    );
    await say(page, 'the newest');
    await page.waitForFunction(() => document.querySelectorAll('#list li').length === 200);
    assert.equal((await titles(page))[0], 'the newest');
    await page.fill('#filter', 'old 229');
    assert.deepEqual(await titles(page), ['old 229']);
    await page.click('#settings-open');
    await theText(page.locator('#kept'), '200 conversations');
    const download = page.waitForEvent('download');
    await page.click('#export');
    const exported = JSON.parse(readFileSync(await (await download).path(), 'utf8'));
    assert.equal(exported.length, 200);
    assert.equal(exported[0].messages[0].content, 'the newest');
    await page.click('#delete-all');
    await page.waitForFunction(() => document.querySelectorAll('#list li').length === 0);
    assert.equal(context.seen.dialogs.length, 1);
    context.seen.dialogs.length = 0;
    isClean(context, server);
    await context.close();
});

test('rename, delete, undo', async () => {
    const context = await profile(),
        page = await open(context, server);
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

test('a server that still loads its model, and one without anything to do', async () => {
    const context = await profile(),
        page = await context.newPage();
    let tries = 0;
    await page.route('**/health', (route) =>
        ++tries < 3
            ? route.fulfill({ status: 503, body: '{"error":{"message":"Loading model"}}' })
            : route.continue(),
    );
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
        Object.defineProperty(window, 'indexedDB', {
            value: {
                open() {
                    throw new DOMException('no', 'SecurityError');
                },
            },
        });
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
    const context = await profile(),
        page = await open(context, brief);
    await say(page, 'there');
    await brief.stop();
    await say(page, 'gone');
    await theText(page.locator('.error:not([hidden])'), 'cannot be reached');
    await context.close();
});
