// Bundles the server's page and the plots of `tawny compare -o html`, and writes them down as C:     node build.mjs FOLDER
// (FOLDER has node_modules; page.inc and plots.inc are written there)
// What goes in decides what comes out: no times, no paths.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2]);
const modules = join(out, 'node_modules');
const esbuild = createRequire(join(out, 'x.js'))('esbuild');

async function bundle(entry) {
    const result = await esbuild.build({
        absWorkingDir: here,
        entryPoints: [entry],
        nodePaths: [modules],
        bundle: true,
        write: false,
        minify: true,
        format: 'iife',
        target: ['chrome123', 'firefox121', 'safari17.5'],
        charset: 'utf8',
        legalComments: 'none',
        metafile: true,
        logLevel: 'warning',
    });
    return { bytes: Buffer.from(result.outputFiles[0].contents), inputs: Object.keys(result.metafile.inputs) };
}

// The licences of what is in the bundle, as they ask to be passed on.
function licences(inputs) {
    const names = new Set();
    for (const input of inputs) {
        const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules)/.exec(input);
        if (found) names.add(found[1]);
    }
    let text = 'This page of tawny (MIT licence) is made with these libraries.\n';
    for (const name of [...names].sort()) {
        const folder = join(modules, name);
        const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
        text += `\n${'='.repeat(72)}\n${name} ${about.version} (${about.license})\n\n`;
        const file = readdirSync(folder)
            .sort()
            .find((f) => /^licen[cs]e/i.test(f));
        if (!file) throw new Error(`${name} has no licence file`);
        text += readFileSync(join(folder, file), 'utf8').trim() + '\n';
    }
    return Buffer.from(text);
}

const array = (name, bytes) =>
    `static const unsigned char ${name}[] = {\n${Array.from({ length: Math.ceil(bytes.length / 32) }, (_, i) =>
        [...bytes.subarray(i * 32, i * 32 + 32)].join(','),
    ).join(',\n')}};\n`;
const tag = (bytes, coding) => `"\\"${createHash('sha256').update(bytes).digest('hex').slice(0, 32)}${coding}\\""`;

const script = await bundle('app.js');
const style = await bundle('style.css');
const plots = await bundle(join(here, '../../cli/plots.js'));
const plotsStyle = readFileSync(join(modules, 'uplot/dist/uPlot.min.css'));
const parts = [
    ['', 'text/html; charset=utf-8', readFileSync(join(here, 'index.html'))],
    ['app.js', 'text/javascript; charset=utf-8', script.bytes],
    ['style.css', 'text/css; charset=utf-8', style.bytes],
    ['icon.svg', 'image/svg+xml', readFileSync(join(here, 'icon.svg'))],
    ['licences.txt', 'text/plain; charset=utf-8', licences(script.inputs)],
];
let text = '/* Made by src/server/page/build.mjs. */\n',
    table = 'static const page_part page_parts[] = {\n';
parts.forEach(([name, type, bytes], i) => {
    const zipped = gzipSync(bytes, { level: 9 });
    text += array(`part_${i}`, bytes) + array(`part_${i}_gzip`, zipped);
    table +=
        `    {"${name}", "${type}", ${tag(bytes, '')}, ${tag(bytes, '-gzip')}, part_${i}, part_${i}_gzip, sizeof part_${i}, ` +
        `sizeof part_${i}_gzip},\n`;
});
writeFileSync(join(out, 'page.inc'), `${text}${table}    {0}};\n`);
const mentioned = licences(plots.inputs).toString().replaceAll('*/', '');
writeFileSync(
    join(out, 'plots.inc'),
    '/* Made by src/server/page/build.mjs of src/cli/plots.js. */\n' +
        array('plots_script', Buffer.concat([Buffer.from(`/*\n${mentioned}*/\n`), plots.bytes])) +
        array('plots_style', plotsStyle),
);
const total = (pick) => parts.reduce((n, p) => n + pick(p[2]), 0);
console.log(
    `  page: ${Math.round(total((b) => b.length) / 1024)} KiB, ${Math.round(total((b) => gzipSync(b).length) / 1024)} compressed`,
);
