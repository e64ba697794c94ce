// The list of servers for the live page: those of the lab, and the article's programs that run. A page that tried their
// paths itself would leave errors in the browser's console.

const LAB = ['sync', 'async'];

/** The metrics ports of the processes that watch the article's programs. */
const WATCHERS = {
    flask: 'flask:9100',
    fastapi: 'fastapi:9100',
    gunicorn: 'gunicorn:9100',
    gthread: 'gthread:9100',
};

/** Sends the module that src/live/page/servers.js is in a lab without these programs. */
async function list(r) {
    if (r.method !== 'GET' && r.method !== 'HEAD') {
        r.return(405);
        return;
    }
    const names = Object.keys(WATCHERS);
    const run = await Promise.all(names.map(name => runs(WATCHERS[name])));
    const servers = LAB.concat(names.filter((name, i) => run[i]));
    r.headersOut['Content-Type'] = 'text/javascript; charset=utf-8';
    r.return(200, `export const NAMES = ${JSON.stringify(servers)};\n`);
}

/** Returns whether the process with this metrics port sees its program. */
async function runs(watcher) {
    try {
        const response = await ngx.fetch(`http://${watcher}/readyz`);
        return response.ok;
    } catch (e) {
        return false;
    }
}

export default { list };
