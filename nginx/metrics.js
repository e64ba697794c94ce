// What clients saw of the servers, as histograms for Prometheus. Only nginx can tell: a server does not
// know of the wait before it, nor of the 502, 504 and 499 that it never answered.
//
// Kept in memory that the workers share: under "SERIES INDEX" the requests of one bucket, under
// "SERIES sum" their seconds.

/** The servers that are counted; events and the live page's files are not. */
const SERVERS = ['sync', 'async'];

/** The statuses whose series exist, at 0, before the first such answer. */
const STATUSES = [200, 499, 502, 504];

/** Upper bounds in seconds: the servers' own (src/metrics/requests.rs) from nginx's millisecond on, and its longest wait. */
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 19, 20.5, 30, 100, 300, 600];

/** More than the zone has room for. */
const MOST_ITEMS = 100000;

const REQUEST = 'nginx_http_request_duration_seconds';

const HELP = {
    nginx_http_request_duration_seconds:
        'Seconds from the first byte of a request to the last of its answer. Status 499: the client left first.',
    nginx_upstream_connect_duration_seconds:
        'Seconds until a server was connected to. The kernel connects for a busy one, too.',
    nginx_upstream_header_duration_seconds:
        'Seconds until the first byte of an answer came from a server.',
    nginx_upstream_response_duration_seconds:
        'Seconds until the last byte of an answer came from a server.',
};

/** By metric the variable that has the time, or the times if more than one server was tried. */
const UPSTREAM = {
    nginx_upstream_connect_duration_seconds: 'upstream_connect_time',
    nginx_upstream_header_duration_seconds: 'upstream_header_time',
    nginx_upstream_response_duration_seconds: 'upstream_response_time',
};

/** Counts a request that has ended. The value of $observed: nothing. */
function observe(r) {
    const of = r.variables;
    if (SERVERS.includes(of.server)) {
        add(series(REQUEST, of.server, of.status), of.request_time);
        for (const metric in UPSTREAM) {
            const times = (of[UPSTREAM[metric]] || '').match(/[0-9.]+/g) || [];
            times.forEach((time) => add(series(metric, of.server), time));
        }
    }
    return '';
}

function series(metric, server, status) {
    const labels = status ? `server="${server}",http_response_status_code="${status}"` : `server="${server}"`;
    return `${metric} ${labels}`;
}

function add(series, time) {
    const seconds = Number(time);
    const bucket = BOUNDS.findIndex((bound) => seconds <= bound);
    ngx.shared.metrics.incr(`${series} ${bucket < 0 ? BOUNDS.length : bucket}`, 1, 0);
    ngx.shared.metrics.incr(`${series} sum`, seconds, 0);
}

/** Answers with all that was counted, in Prometheus' text format. */
function expose(r) {
    const counted = {};
    ngx.shared.metrics.items(MOST_ITEMS).forEach((item) => { counted[item[0]] = item[1]; });
    const all = {};
    SERVERS.forEach((server) => {
        STATUSES.forEach((status) => { all[series(REQUEST, server, status)] = true; });
        Object.keys(UPSTREAM).forEach((metric) => { all[series(metric, server)] = true; });
    });
    Object.keys(counted).forEach((key) => { all[key.slice(0, key.lastIndexOf(' '))] = true; });

    r.headersOut['Content-Type'] = 'text/plain; version=0.0.4; charset=utf-8';
    r.return(200, Object.keys(HELP).map((metric) => family(metric, Object.keys(all), counted)).join(''));
}

function family(metric, all, counted) {
    const own = all.filter((series) => series.startsWith(`${metric} `)).sort();
    const head = `# HELP ${metric} ${HELP[metric]}\n# TYPE ${metric} histogram\n`;
    return head + own.map((series) => histogram(metric, series, counted)).join('');
}

function histogram(metric, series, counted) {
    const labels = series.slice(metric.length + 1);
    let count = 0;
    const buckets = BOUNDS.concat('+Inf').map((bound, i) => {
        count += counted[`${series} ${i}`] || 0;
        return `${metric}_bucket{${labels},le="${bound}"} ${count}\n`;
    });
    const sum = counted[`${series} sum`] || 0;
    return `${buckets.join('')}${metric}_sum{${labels}} ${sum}\n${metric}_count{${labels}} ${count}\n`;
}

export default { observe, expose };
