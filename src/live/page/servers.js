// Names of the servers behind this front. While the article's programs run, nginx sends originals.js instead.

export const NAMES = ["sync", "async"];
