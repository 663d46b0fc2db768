// Texts whose contrast is below what WCAG 2.2 asks (1.4.3): 4.5, or 3 where they are large.
(() => {
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = colour => {
    pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].map((v, i) => i < 3 ? v : v / 255);
  };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
  const ground = e => {
    const stack = [];
    for (; e; e = e.parentElement) stack.push(rgba(getComputedStyle(e).backgroundColor));
    return stack.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = c => {
    const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const poor = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const e = node.parentElement;
    if (!node.textContent.trim() || e.closest("svg, .unseen, noscript, :disabled")) continue;
    if (!e.checkVisibility({ opacityProperty: true })) continue;
    const style = getComputedStyle(e), back = ground(e);
    let seen = 1;
    for (let up = e; up; up = up.parentElement) seen *= Number(getComputedStyle(up).opacity);
    const ink = rgba(style.color);
    const pair = [light(over([...ink.slice(0, 3), ink[3] * seen], back)), light(back)].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05), size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    if (ratio < needed) poor.push(`${node.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)} of ${needed}`);
  }
  return poor;
})()
