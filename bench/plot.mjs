// Line charts as one SVG picture, without anything but text: small panels side by side, both axes logarithmic.

const COLORS = ['#0b6e99', '#c4572b', '#5b8c2a', '#8a4fa3', '#777777'];
const PANEL = { width: 300, height: 230, left: 58, right: 12, top: 34, bottom: 34 };
const COLUMNS = 3;

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** 1500000 as "1.5M": for axes, where space is short. */
export function short(value) {
    for (const [unit, factor] of [['G', 1e9], ['M', 1e6], ['k', 1e3]])
        if (value >= factor) return `${Number((value / factor).toPrecision(3))}${unit}`;
    return `${Number(value.toPrecision(3))}`;
}

/** The numbers 1, 2 and 5 times a power of ten from low to high; only the powers where that would be too many. */
function ticks(low, high) {
    const all = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
        for (const digit of [1, 2, 5]) all.push(digit * 10 ** power);
    const inside = all.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
    return inside.length > 6 ? inside.filter((tick) => Number.isInteger(Math.round(Math.log10(tick) * 1e6) / 1e6)) : inside;
}

function panel({ title, series, xs }, at) {
    const values = series.flatMap((line) => line.points.map(([, y]) => y));
    const [low, high] = [Math.min(...values) / 1.3, Math.max(...values) * 1.3];
    const [xLow, xHigh] = [Math.min(...xs) / 1.15, Math.max(...xs) * 1.15];
    const width = PANEL.width - PANEL.left - PANEL.right;
    const height = PANEL.height - PANEL.top - PANEL.bottom;
    const share = (value, from, to) => Math.log(value / from) / Math.log(to / from);
    const x = (value) => (PANEL.left + share(value, xLow, xHigh) * width).toFixed(1);
    const y = (value) => (PANEL.top + (1 - share(value, low, high)) * height).toFixed(1);
    const parts = [`<g transform="translate(${at.x},${at.y})">`,
        `<text x="${PANEL.left}" y="20" font-weight="bold">${escape(title)}</text>`];
    for (const tick of ticks(low, high))
        parts.push(`<line x1="${PANEL.left}" x2="${PANEL.left + width}" y1="${y(tick)}" y2="${y(tick)}" stroke="#ddd"/>`,
            `<text x="${PANEL.left - 6}" y="${y(tick)}" dy="4" text-anchor="end">${short(tick)}</text>`);
    for (const tick of xs)
        parts.push(`<text x="${x(tick)}" y="${PANEL.top + height + 18}" text-anchor="middle">${short(tick)}</text>`);
    parts.push(`<rect x="${PANEL.left}" y="${PANEL.top}" width="${width}" height="${height}" fill="none" stroke="#999"/>`);
    for (const line of series) {
        const points = line.points.map(([px, py]) => `${x(px)},${y(py)}`);
        parts.push(`<polyline points="${points.join(' ')}" fill="none" stroke="${line.color}" stroke-width="2"/>`);
        for (const point of points) {
            const [cx, cy] = point.split(',');
            parts.push(`<circle cx="${cx}" cy="${cy}" r="3" fill="${line.color}"/>`);
        }
    }
    return [...parts, '</g>'].join('\n');
}

/**
 * The picture as text. `panels`: [{ title, lines: { name: [[x, y], ...] } }], x and y above zero; a name has the same
 * colour in every panel. `caption` says what x is.
 */
export function plot(panels, caption) {
    const names = [...new Set(panels.flatMap(({ lines }) => Object.keys(lines)))];
    const xs = [...new Set(panels.flatMap(({ lines }) => Object.values(lines).flatMap((points) => points.map(([x]) => x))))];
    const rows = Math.ceil(panels.length / COLUMNS);
    const width = PANEL.width * Math.min(COLUMNS, panels.length);
    const height = PANEL.height * rows + 34;
    const color = (name) => COLORS[names.indexOf(name) % COLORS.length];
    const legend = names.map((name, i) => `<g transform="translate(${PANEL.left + i * 110},${height - 14})">` +
        `<rect width="14" height="4" y="-7" fill="${color(name)}"/><text x="20">${escape(name)}</text></g>`);
    const drawn = panels.map(({ title, lines }, i) => panel(
        { title, xs, series: Object.entries(lines).map(([name, points]) => ({ points, color: color(name) })) },
        { x: (i % COLUMNS) * PANEL.width, y: Math.floor(i / COLUMNS) * PANEL.height }));
    return [`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
        `viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="#333">`,
        `<title>${escape(caption)}</title>`, `<rect width="${width}" height="${height}" fill="#fff"/>`,
        ...drawn, ...legend, '</svg>', ''].join('\n');
}
