/** Colours of the services drawn, read from the style sheet, so that light and dark stand in one place. */

/** Lines that the eye tells apart; more services are in the table. */
export const drawnMax = 8;

/** Those that are drawn, in the order of their colours: the order in which an answer has them. @param {readonly string[]} services */
export const drawnOf = (services) => [...services].sort().slice(0, drawnMax);

/** @param {string} name of a custom property @returns {string} as a canvas takes it */
const colourOf = (name) => {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
};

export const readPalette = () => ({
  services: Array.from({ length: drawnMax }, (_, i) => colourOf(`--s${i + 1}`)),
  text: colourOf('--quiet'),
  grid: colourOf('--grid'),
});
