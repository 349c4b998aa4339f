// Finds text that is wider than the screen or cut off, text that lies over other text, and text whose contrast with what is
// behind it is below 4.5:1 (WCAG 2.2, 1.4.3). An expression; its value is plain data.
(() => {
  const found = { texts: 0, wide: [], overlaps: [], faint: [] };
  const root = document.documentElement;
  if (root.scrollWidth > window.innerWidth) {
    found.wide.push(`the page: ${root.scrollWidth} of ${window.innerWidth}`);
  }
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = color;
    paint.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const layer = rgba(getComputedStyle(at).backgroundColor);
      layers.push(layer);
      if (layer[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const luminance = (color) => {
    const [r, g, b] = color.slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility()) continue;
    const text = node.data.trim().slice(0, 60);
    found.texts += 1;
    const background = behind(element);
    const ratio = contrast(over(rgba(getComputedStyle(element).color), background), background);
    if (ratio < 4.5) found.faint.push(`${ratio.toFixed(2)}: ${text}`);
    if (element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== "inline") {
      found.wide.push(`cut off: ${text}`);
    }
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.width < 1 || box.height < 1) continue;
      if (box.right > window.innerWidth + 1 || box.left < -1) found.wide.push(text);
      boxes.push({ node, text, left: box.left, right: box.right, top: box.top, bottom: box.bottom });
    }
  }
  boxes.sort((one, other) => one.top - other.top);
  boxes.forEach((one, index) => {
    for (const other of boxes.slice(index + 1)) {
      if (other.top >= one.bottom - 2) break;
      if (other.node !== one.node && other.left < one.right - 2 && other.right > one.left + 2) {
        found.overlaps.push(`${one.text} / ${other.text}`);
      }
    }
  });
  return found;
})()
