// What nginx sends instead of servers.js while the article's programs run.

export const NAMES = ["sync", "async", "flask", "fastapi"];
