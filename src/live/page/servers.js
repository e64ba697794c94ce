// Names of the servers behind this front. nginx/servers.js also names those of the article's programs that run.

export const NAMES = ["sync", "async"];
