// Who can use the page: by keyboard alone, on a phone, in light and dark.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import {
    answers,
    axeSource,
    begin,
    ended,
    isClean,
    open,
    profile,
    say,
    theText,
} from './harness.mjs';

const { server, slow } = await begin();

test('by keyboard alone', async () => {
    const context = await profile(),
        page = await open(context, slow);
    slow.state.answer = () => ({ reasoning: 'hm', text: 'A first block.\n\n```c\nint x;\n```\n\nThe end.' });
    const focused = () =>
        page.evaluate(() => {
            const a = document.activeElement;
            return a.id || a.getAttribute('aria-label') || a.nodeName;
        });
    const tabTo = async (wanted, key = 'Tab') => {
        for (let i = 0; i < 60; i++) {
            await page.keyboard.press(key);
            if ((await focused()) === wanted) return;
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
        const box = await page.evaluate(() => {
            const r = document.activeElement.getBoundingClientRect();
            return [document.activeElement.nodeName, r.width, r.height];
        });
        assert.ok(box[0] === 'BODY' || (box[1] > 0 && box[2] > 0), box.join());
    }
    isClean(context, slow);
    await context.close();
});

const WIDE =
    `A${'a'.repeat(300)}\n\n\`\`\`c\nint main(void) { return ${'0 + '.repeat(80)}0; }\n\`\`\`\n\n|${' column |'.repeat(14)}\n|${'--|'.repeat(14)}\n` +
    `|${' cell |'.repeat(14)}\n\nhttps://example.org/${'x'.repeat(200)}\n\n\`${'c'.repeat(200)}\`\n`;

test('on a phone: nothing is wider than it', async () => {
    const context = await profile({ viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true }),
        page = await open(context, slow);
    slow.state.answer = () => ({ reasoning: WIDE, text: WIDE, piece: 500 });
    const fits = async (what) => {
        const [a, b] = await page.evaluate(() => [
            document.documentElement.scrollWidth,
            Math.max(
                ...[
                    ...document.querySelectorAll(
                        '#scroll, #messages, .msg, .bar, .foot, dialog[open], dialog[open] .body',
                    ),
                ].map((n) => n.getBoundingClientRect().right),
            ),
        ]);
        assert.ok(a <= 360 && b <= 360, `${what}: ${a}, ${b}`);
        const inner = await page.evaluate(() => {
            const s = document.getElementById('scroll');
            return s.scrollWidth - s.clientWidth;
        });
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
    const small = await page.evaluate(() =>
        [...document.querySelectorAll('button, input, summary')]
            .filter((n) => n.checkVisibility({ visibilityProperty: true }))
            .map((n) => [n.id, n.getBoundingClientRect()])
            .filter(([, r]) => r.width > 1 && (r.height < 24 || r.width < 24))
            .map(([id]) => id),
    );
    assert.deepEqual(small, [], 'targets of at least 24 pixels');
    isClean(context, slow);
    await context.close();
});

for (const colorScheme of ['light', 'dark']) {
    test(`${colorScheme}: contrast, names and roles (axe)`, async () => {
        const context = await profile({ colorScheme, reducedMotion: 'reduce' }),
            page = await open(context, slow);
        slow.state.answer = () => ({
            reasoning: 'thought',
            piece: 500,
            text:
                '## Head\n\ntext `code` [link](https://example.org/)\n\n> quote\n\n' +
                '```python\n# note\ndef f(x: int) -> str:\n    return "text" + str(3.5)\n```\n\n| a | b |\n|--|--:|\n| 1 | 2 |\n',
        });
        const background = () =>
            page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
        const light = (await background())[0] > 128;
        assert.equal(light, colorScheme === 'light');
        const check = async (what) => {
            await page.evaluate(axeSource);
            const found = await page.evaluate(async () =>
                (
                    await window.axe.run({
                        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
                    })
                ).violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 120)).join(' ')}`),
            );
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
