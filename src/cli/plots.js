// The plots of `tawny compare -o html`: speeds of CPU and GPU, a bar a test, generation and prompts apart.
import uPlot from 'uplot';

const colours = { cpu: '#c2703d', gpu: '#3b6ea5' };
const pairs = JSON.parse(document.getElementById('pairs').textContent);
const place = document.getElementById('plots');

// Each test has two bars around its number; what did not run is a gap.
function draw(title, tests) {
    const x = tests.flatMap((_, i) => [i - 0.2, i + 0.2]);
    const speeds = (side, k) => tests.flatMap((t) => [0, 1].map((n) => (n === k && t[side] ? t[side].tok_s : null)));
    const bars = uPlot.paths.bars({ size: [0.9, 70], align: 0 });
    const series = (label, side) => ({ label, paths: bars, fill: colours[side], stroke: colours[side], points: { show: false } });
    const options = {
        title,
        width: 860,
        height: 280,
        cursor: { show: false },
        legend: { live: false },
        scales: { x: { time: false, range: [-0.6, tests.length - 0.4] }, y: { range: (u, low, high) => [0, high * 1.1] } },
        axes: [
            {
                splits: () => tests.map((_, i) => i),
                values: () => tests.map((t) => t.test),
                grid: { show: false },
            },
            { label: 'tokens a second', size: 60 },
        ],
        series: [{}, series('CPU', 'cpu'), series('GPU', 'gpu')],
    };
    new uPlot(options, [x, speeds('cpu', 0), speeds('gpu', 1)], place);
}

for (const model of new Set(pairs.map((p) => p.model))) {
    const of = (generation) => pairs.filter((p) => p.model === model && /^tg/.test(p.test) === generation);
    if (of(true).length) draw(`${model}: generation`, of(true));
    if (of(false).length) draw(`${model}: prompts`, of(false));
}
document.getElementById('picture').hidden = true;
