// @ts-check
// The status page: asks the monitoring API every few seconds and shows what it says. Whatever comes from there is put in as text.

/** @typedef {{ key: string, type: string, mode: string, state: string, parked: string | null, score: number, nextRun: string | null, failures: number, rank: number }} Target */
/** @typedef {{ exporter: string, signal: string, queueSize: number, queueCapacity: number, sent: number, failed: number, dropped: number }} Exporter */

const REFRESH_MS = 5_000;
/** An answer that takes longer is none. */
const ANSWER_MS = 20_000;
const PAGE_ROWS = 12;
const MOST_DEAD = 6;
const MOST_STALE = 8;
const MOST_SAMPLES = 60;
/** Between two sentences for those who hear the page. */
const TOLD_EVERY_MS = 30_000;
const API = '/api/monitoring';
const WORST = ['parked', 'open', 'half_open', 'closed', 'unknown'];
const STATES = {
  closed: 'closed',
  open: 'open',
  half_open: 'half-open',
  unknown: 'unknown, not read yet',
  parked: 'parked as dead letter',
  late: 'late: a dot in its corner',
};
const COVERAGE_MARKS = { complete: '✔', probable: '≈', incomplete: '✖', unknown: '?' };

/** @type {(id: string) => any} */
const $ = (id) => document.getElementById(id);

/** What was read last, and what the reader looks at. */
const seen = {
  /** @type {readonly Target[]} */
  targets: [],
  /** Epoch milliseconds, on the agent's clock. */
  now: 0,
  /** When it came; monotonic milliseconds. */
  at: 0,
  /** @type {Map<string, { at: number, sent: number, rates: number[] }>} */
  rates: new Map(),
  /** @type {Map<string, { etag: string, body: any }>} */
  answers: new Map(),
  page: 0,
  /** @type {string | undefined} */
  detail: undefined,
  mayAct: false,
  mayLogOut: false,
  told: '',
  toldAt: Number.NEGATIVE_INFINITY,
};

// --- asking

class Refused extends Error {
  /** @param {number} status @param {string} detail @param {number} [waitMs] */
  constructor(status, detail, waitMs) {
    super(detail);
    this.status = status;
    this.waitMs = waitMs;
  }
}

/** @param {string} path @param {RequestInit} [init] @returns {Promise<any>} the body; undefined: there is none */
async function ask(path, init = {}) {
  const known = seen.answers.get(path);
  const headers = { ...init.headers, ...(known && !init.method && { 'if-none-match': known.etag }) };
  const answer = await fetch(path, { ...init, headers, cache: 'no-store', signal: AbortSignal.timeout(ANSWER_MS) });
  if (answer.status === 304 && known) return known.body;
  if (!answer.ok) {
    const { detail } = await answer.json().catch(() => ({ detail: answer.statusText }));
    const wait = Number(answer.headers.get('retry-after'));
    throw new Refused(answer.status, String(detail), wait > 0 ? wait * 1_000 : undefined);
  }
  const text = await answer.text();
  const body = text === '' ? undefined : JSON.parse(text);
  const etag = answer.headers.get('etag');
  if (etag && !init.method) seen.answers.set(path, { etag, body });
  return body;
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let isAsking = false;
/** Grows when somebody logs in or out: what was asked for before is another reader's. */
let reader = 0;

async function refresh() {
  clearTimeout(timer);
  if (document.hidden || isAsking) return;
  isAsking = true;
  const asker = reader;
  let wait = REFRESH_MS;
  try {
    const [health, targets, overview, attestation] = await Promise.all([
      ask(`${API}/scheduler/health?state=parked&limit=${MOST_DEAD}`),
      ask(`${API}/scheduler/targets`),
      ask(`${API}/overview`),
      // Only an agent with that receiver has this page.
      ask(`${API}/attestation`).catch((error) => {
        if (error.status === 401) throw error;
      }),
    ]);
    if (asker !== reader) return;
    seen.now = Date.parse(health.updatedAt);
    seen.at = performance.now();
    seen.targets = targets.targets.map(rowOf(targets.columns));
    seen.mayAct = overview.access.actions;
    seen.mayLogOut = overview.access.login;
    show('status');
    trouble(undefined);
    draw(health, overview, attestation);
    $('age').title = `as of ${health.updatedAt}`;
    if (seen.detail !== undefined) await drawDetail();
  } catch (error) {
    if (asker !== reader) return;
    if (error instanceof Refused && error.status === 401) return show('login');
    wait = (error instanceof Refused && error.waitMs) || REFRESH_MS;
    const why = error instanceof Refused ? error.message : 'the agent does not answer';
    const age = seen.at === 0 ? '' : ` What you see is ${duration(performance.now() - seen.at)} old.`;
    trouble(`${why}.${age} Asking again in ${duration(wait)}.`);
  } finally {
    isAsking = false;
    if (asker !== reader) void refresh();
    else if (!$('login').hidden) clearTimeout(timer);
    else timer = setTimeout(refresh, Math.max(wait, REFRESH_MS));
  }
}

/** @param {readonly string[]} columns @returns {(row: readonly any[]) => Target} */
function rowOf(columns) {
  const at = (/** @type {string} */ name) => columns.indexOf(name);
  const [key, type, mode, state, parked, score] = [
    at('key'),
    at('type'),
    at('mode'),
    at('state'),
    at('parked'),
    at('score'),
  ];
  const [nextRun, failures] = [at('nextRun'), at('failures')];
  return (row) => ({
    key: row[key],
    type: row[type],
    mode: row[mode],
    state: row[state],
    parked: row[parked],
    score: row[score],
    nextRun: row[nextRun],
    failures: row[failures],
    // The worst first; of equal ones the stalest.
    rank: WORST.indexOf(row[parked] === null ? row[state] : 'parked') - row[score] / 2,
  });
}

/** @param {'login' | 'status'} which */
function show(which) {
  const before = $('login').hidden ? 'status' : 'login';
  for (const id of ['login', 'status']) $(id).hidden = id !== which;
  $('logout').hidden = which === 'login' || !seen.mayLogOut;
  if (which === 'login') {
    trouble(undefined);
    text($('age'), '');
    for (const id of ['detail', 'confirm']) $(id).close();
    if (before !== 'login') $('token').focus();
  }
}

// --- writing

/** @param {Element} node @param {string | number} value */
function text(node, value) {
  if (node.textContent !== String(value)) node.textContent = String(value);
}

/** @param {string} tag @param {string} [content] @param {string} [className] */
function make(tag, content, className) {
  const node = document.createElement(tag);
  if (content !== undefined) node.textContent = content;
  if (className) node.className = className;
  return node;
}

/**
 * Has one child for each item, and keeps those that are there, so that whoever reads one by keyboard stays in it.
 * @template T
 * @param {Element} parent @param {readonly T[]} items @param {() => Element} create @param {(child: any, item: T) => void} fill
 */
function list(parent, items, create, fill) {
  while (parent.children.length > items.length) parent.lastElementChild?.remove();
  while (parent.children.length < items.length) parent.append(create());
  for (const [index, item] of items.entries()) fill(parent.children[index], item);
}

/** @param {Element} parent @param {readonly (readonly [string, string | number])[]} pairs */
function facts(parent, pairs) {
  list(
    parent,
    pairs.flatMap(([name, value]) => [
      ['DT', name],
      ['DD', value],
    ]),
    () => make('dt'),
    (child, [tag = '', value = '']) => {
      const node = child.tagName === tag ? child : make(String(tag));
      if (node !== child) child.replaceWith(node);
      text(node, value);
    },
  );
}

/** @param {string | undefined} message */
function trouble(message) {
  $('trouble').hidden = message === undefined;
  text($('trouble'), message ?? '');
}

const whole = new Intl.NumberFormat('en');
/** @param {number} n */
const number = (n) => whole.format(Math.round(n));

/** @param {number} ms */
function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${(seconds / 3_600).toFixed(1)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** @param {string | null} instant */
function when(instant) {
  if (instant === null) return '–';
  const ms = Date.parse(instant) - seen.now;
  return ms > 500 ? `in ${duration(ms)}` : ms < -500 ? `${duration(-ms)} ago` : 'now';
}

// --- the parts

/** @param {any} health @param {any} overview @param {any} attestation */
function draw(health, overview, attestation) {
  const { summary } = health;
  const { breakers, modes } = summary;
  const byMode = Object.entries(modes).map(
    ([mode, count]) => /** @type {[string, number]} */ ([`in mode ${mode}`, count]),
  );
  const tiles = [
    ['targets', summary.targets],
    ...byMode.slice(0, 4),
    ['breakers open', breakers.open + breakers.half_open],
    ['parked', summary.parked],
    ['late', summary.late],
  ];
  list($('tiles'), tiles, tile, (child, [name, value]) => {
    text(child.firstElementChild, String(name));
    text(child.lastElementChild, number(Number(value)));
    const isBad = ['breakers open', 'parked', 'late'].includes(String(name)) && Number(value) > 0;
    child.lastElementChild.className = isBad ? 'bad' : '';
  });
  tell(tiles);
  drawFleet();
  drawDead(health);
  drawStale();
  drawPools(attestation);
  drawQueues(overview.exporters);
  drawAgent(health, overview.components);
}

function tile() {
  const node = make('div');
  node.append(make('dt'), make('dd'));
  return node;
}

/** Tells the totals to those who hear the page, when they are others, and not too often. @param {readonly (readonly unknown[])[]} tiles */
function tell(tiles) {
  const sentence = tiles.map(([name, value]) => `${value} ${name}`).join(', ');
  if (sentence === seen.told || performance.now() - seen.toldAt < TOLD_EVERY_MS) return;
  seen.told = sentence;
  seen.toldAt = performance.now();
  text($('totals-live'), sentence);
}

/** @param {Target} target */
function stateOf({ parked, state }) {
  return parked ? 'parked' : state;
}

/** @param {Target} target */
function isLate({ score }) {
  return score > 0.5;
}

/** What the filter lets through. */
function wanted() {
  const name = $('text').value.trim().toLowerCase();
  const type = $('type').value;
  const state = $('state').value;
  if (name === '' && type === '' && state === '') return seen.targets;
  return seen.targets.filter(
    (target) =>
      (name === '' || target.key.toLowerCase().includes(name)) &&
      (type === '' || target.type === type) &&
      (state === '' || (state === 'late' ? isLate(target) : stateOf(target) === state)),
  );
}

function drawFleet() {
  const chosen = $('type').value;
  const types = [...new Set([...seen.targets.map(({ type }) => type), chosen].filter((type) => type !== ''))].sort();
  list(
    $('type'),
    ['', ...types],
    () => make('option'),
    (option, type) => {
      text(option, type || 'all');
      option.value = type;
    },
  );
  $('type').value = chosen;
  const targets = wanted();
  drawGrids(targets);
  const ordered =
    $('order').value === 'name' ? targets : targets.toSorted((a, b) => a.rank - b.rank || (a.key < b.key ? -1 : 1));
  const pages = Math.max(1, Math.ceil(ordered.length / PAGE_ROWS));
  seen.page = Math.min(seen.page, pages - 1);
  const first = seen.page * PAGE_ROWS;
  const rows = ordered.slice(first, first + PAGE_ROWS);
  list($('targets').tBodies[0], rows, targetRow, (row, target) => {
    const [name, mode, state, score, next, failures] = row.children;
    nameTarget(name.firstElementChild, target.key);
    text(mode, target.mode);
    text(state, stateOf(target).replace('_', '-'));
    state.className = /parked|open/.test(stateOf(target)) ? 'bad' : '';
    text(score, `${Math.round(target.score * 100)} %${isLate(target) ? ', late' : ''}`);
    score.className = isLate(target) ? 'warn' : '';
    text(next, target.nextRun === null ? 'running' : when(target.nextRun));
    text(failures, target.failures);
  });
  const last = first + rows.length;
  text(
    $('range'),
    rows.length === 0 ? 'no target' : `${number(first + 1)} to ${number(last)} of ${number(ordered.length)}`,
  );
  $('previous').disabled = seen.page === 0;
  $('next').disabled = seen.page >= pages - 1;
}

function targetRow() {
  const row = make('tr');
  const name = make('td');
  name.append(targetButton());
  row.append(name, ...Array.from({ length: 5 }, () => make('td')));
  return row;
}

/** @param {readonly Target[]} targets */
function drawGrids(targets) {
  const [colors, width] = [palette(), $('grids').clientWidth];
  const modes = [...Map.groupBy(targets, ({ mode }) => mode)].sort(([a], [b]) => (a < b ? -1 : 1));
  list($('grids'), modes, grid, (node, [mode, members]) => {
    text(node.firstElementChild, `${mode}: ${number(members.length)}`);
    drawGrid(node.lastElementChild, members, targets.length, width, colors);
  });
}

function grid() {
  const node = make('div', undefined, 'grid');
  const canvas = make('canvas');
  // The table below holds the same for those who do not see this.
  canvas.setAttribute('aria-hidden', 'true');
  /** @param {MouseEvent} event @returns {Target | undefined} */
  const under = (event) => {
    const { members, cell, columns } = /** @type {any} */ (canvas);
    const [column, row] = [Math.floor(event.offsetX / cell), Math.floor(event.offsetY / cell)];
    return column < columns ? members[row * columns + column] : undefined;
  };
  canvas.addEventListener('mousemove', (event) => {
    const target = under(event);
    canvas.title = target ? `${target.key}: ${stateOf(target)}${isLate(target) ? ', late' : ''}` : '';
  });
  canvas.addEventListener('click', (event) => {
    const target = under(event);
    if (target) void openDetail(target.key);
  });
  node.append(make('h3'), canvas);
  return node;
}

/**
 * @param {any} canvas @param {readonly Target[]} members @param {number} all
 * @param {number} width @param {Record<string, string>} colors
 */
function drawGrid(canvas, members, all, width, colors) {
  const cell = all <= 300 ? 18 : all <= 2_000 ? 12 : 8;
  const columns = Math.max(1, Math.floor(width / cell));
  const height = Math.ceil(members.length / columns) * cell;
  Object.assign(canvas, { members, cell, columns });
  const scale = devicePixelRatio;
  canvas.style.height = `${height}px`;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext('2d');
  pen.scale(scale, scale);
  for (const [index, target] of members.entries())
    shape(
      pen,
      (index % columns) * cell,
      Math.floor(index / columns) * cell,
      cell,
      stateOf(target),
      isLate(target),
      colors,
    );
}

/** @returns {Record<string, string>} */
function palette() {
  const probe = $('legend');
  const style = getComputedStyle(probe);
  // A variable holds both schemes; only a property that uses it says which is in force.
  const color = (/** @type {string} */ name) => {
    probe.style.color = `var(--${name})`;
    return style.color;
  };
  const colors = Object.fromEntries(['good', 'warn', 'bad', 'idle', 'text'].map((name) => [name, color(name)]));
  probe.style.color = '';
  return colors;
}

/**
 * Tells a state by its shape, and by its colour too.
 * @param {CanvasRenderingContext2D} pen @param {number} x @param {number} y @param {number} cell
 * @param {string} state @param {boolean} late @param {Record<string, string>} colors
 */
function shape(pen, x, y, cell, state, late, colors) {
  const gap = cell > 10 ? 2 : 1;
  const [left, top, size] = [x + gap, y + gap, cell - 2 * gap];
  const right = left + size;
  const color =
    { closed: colors.good, open: colors.bad, half_open: colors.warn, parked: colors.bad }[state] ?? colors.idle;
  pen.fillStyle = color ?? '';
  if (state === 'closed') pen.fillRect(left, top, size, size);
  else outline(pen, state, left, top, size);
  if (!late || state === 'parked') return;
  pen.fillStyle = colors.text ?? '';
  pen.beginPath();
  pen.arc(right - size / 4, top + size / 4, Math.max(1.5, size / 5), 0, 7);
  pen.fill();
}

/**
 * The shape of a state that is not the common one.
 * @param {CanvasRenderingContext2D} pen @param {string} state @param {number} left @param {number} top @param {number} size
 */
function outline(pen, state, left, top, size) {
  const [right, bottom] = [left + size, top + size];
  pen.strokeStyle = pen.fillStyle;
  pen.lineWidth = size > 8 ? 2 : 1.5;
  pen.beginPath();
  if (state === 'open') {
    pen.moveTo(left + size / 2, top);
    pen.lineTo(right, bottom);
    pen.lineTo(left, bottom);
    pen.fill();
  } else if (state === 'parked') {
    pen.moveTo(left, top);
    pen.lineTo(right, bottom);
    pen.moveTo(right, top);
    pen.lineTo(left, bottom);
    pen.stroke();
  } else {
    pen.strokeRect(left + 0.5, top + 0.5, size - 1, size - 1);
    if (state === 'half_open') pen.fillRect(left, top + size / 2, size, size / 2);
  }
}

function drawLegend() {
  list(
    $('legend'),
    Object.entries(STATES),
    () => {
      const item = make('li');
      const canvas = make('canvas');
      canvas.setAttribute('aria-hidden', 'true');
      item.append(canvas, make('span'));
      return item;
    },
    (item, [state, words]) => {
      const [canvas, label] = item.children;
      canvas.width = canvas.height = 16;
      const isDot = state === 'late';
      shape(canvas.getContext('2d'), 0, 0, 16, isDot ? 'closed' : state, isDot, palette());
      text(label, words);
    },
  );
}

/** @param {any} health */
function drawDead({ instances, summary, enabled }) {
  const parked = instances.filter((/** @type {any} */ one) => one.deadLetter.present).slice(0, MOST_DEAD);
  $('dead-none').hidden = summary.parked > 0;
  text($('dead-none'), enabled ? 'No target is parked.' : 'Adaptive polling is off: nothing is parked.');
  $('redrive').hidden = !seen.mayAct || summary.parked === 0;
  list(
    $('dead'),
    parked,
    () => {
      const item = make('li');
      const line = make('div', undefined, 'line');
      line.append(targetButton(), make('span'));
      item.append(line, make('span', '', 'quiet'), make('span'));
      return item;
    },
    (item, { key, deadLetter, pollStatus }) => {
      const [line, why, error] = item.children;
      nameTarget(line.firstElementChild, key);
      text(line.lastElementChild, pollStatus.inFlight ? 'being tried' : `next retry ${when(deadLetter.nextRetry)}`);
      text(why, `${deadLetter.reason.replaceAll('_', ' ')}, since ${when(deadLetter.firstAttempt)}`);
      text(error, pollStatus.lastError?.message ?? '');
    },
  );
  const more = summary.parked - parked.length;
  text($('dead-more'), more > 0 ? `and ${number(more)} more: choose the state "parked" above` : '');
}

/** Opens the detail of the target that it names. */
function targetButton() {
  const button = make('button', '', 'link');
  button.addEventListener('click', () => openDetail(button.dataset.key ?? ''));
  return button;
}

/** @param {any} button @param {string} key */
function nameTarget(button, key) {
  text(button, key);
  button.dataset.key = key;
}

function drawStale() {
  const worst = seen.targets
    .filter(isLate)
    .sort((a, b) => b.score - a.score)
    .slice(0, MOST_STALE);
  $('stale-none').hidden = worst.length > 0;
  list(
    $('stale'),
    worst,
    () => {
      const item = make('li');
      item.append(targetButton(), bar(), make('span'));
      return item;
    },
    (item, { key, score }) => {
      const [button, scale, words] = item.children;
      nameTarget(button, key);
      fill(scale, score);
      text(words, `${Math.round(score * 100)} %`);
    },
  );
}

function bar() {
  const node = make('span', undefined, 'bar');
  node.setAttribute('aria-hidden', 'true');
  node.append(make('span'));
  return node;
}

/** @param {any} node @param {number} share */
function fill(node, share) {
  node.firstElementChild.style.width = `${Math.min(100, Math.max(0, share * 100))}%`;
  node.classList.toggle('full', share >= 0.8);
}

/** @param {any} attestation */
function drawPools(attestation) {
  $('pools-section').hidden = attestation === undefined;
  list(
    $('pools'),
    attestation?.pools ?? [],
    () => {
      const item = make('li');
      const line = make('div', undefined, 'line');
      line.append(make('strong'), make('span'));
      item.append(line, make('p', '', 'quiet'));
      return item;
    },
    (item, { pool, pins, declared, coverage, state, explain }) => {
      const [line, words] = item.children;
      text(line.firstElementChild, pool);
      const of = declared === null ? '' : ` of ${declared}`;
      const mark = COVERAGE_MARKS[/** @type {keyof typeof COVERAGE_MARKS} */ (coverage)] ?? '';
      text(line.lastElementChild, `${mark} ${coverage}, ${pins.length}${of} pinned, ${state}`);
      line.lastElementChild.className = coverage === 'incomplete' || state === 'blocked' ? 'bad' : '';
      text(words, [explain].flat().join(' '));
    },
  );
}

/** @param {readonly Exporter[]} exporters */
function drawQueues(exporters) {
  $('queues-none').hidden = exporters.length > 0;
  list(
    $('queues'),
    exporters,
    () => {
      const item = make('li');
      const line = make('div', undefined, 'line');
      line.append(make('strong'), make('span'));
      const spark = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
      spark.setAttribute('class', 'spark');
      spark.setAttribute('viewBox', `0 0 ${MOST_SAMPLES - 1} 20`);
      spark.setAttribute('preserveAspectRatio', 'none');
      spark.setAttribute('aria-hidden', 'true');
      const path = document.createElementNS('http://www.w3.org/2000/svg', 'polyline');
      path.setAttribute('vector-effect', 'non-scaling-stroke');
      spark.append(path);
      item.append(line, bar(), make('span'), spark, make('span', '', 'quiet'));
      return item;
    },
    (item, { exporter, signal, queueSize, queueCapacity, sent, failed, dropped }) => {
      const [line, scale, queue, spark, totals] = item.children;
      const rates = rateOf(`${exporter} ${signal}`, sent);
      text(line.firstElementChild, `${exporter}, ${signal}`);
      text(line.lastElementChild, rates.length === 0 ? 'no rate yet' : `${number(rates.at(-1) ?? 0)} per second`);
      const isBounded = queueCapacity > 0;
      scale.hidden = !isBounded;
      fill(scale, queueSize / queueCapacity);
      text(queue, `queue ${number(queueSize)}${isBounded ? ` of ${number(queueCapacity)}` : ', bounded by its store'}`);
      const top = Math.max(1, ...rates);
      const points = rates.map((rate, n) => `${MOST_SAMPLES - rates.length + n},${19 - (rate / top) * 18}`);
      spark.firstElementChild.setAttribute('points', points.join(' '));
      text(totals, `sent ${number(sent)}, failed ${number(failed)}, dropped ${number(dropped)}`);
      totals.className = failed + dropped > 0 ? 'warn' : 'quiet';
    },
  );
}

/** Sent per second, between the readings so far. @param {string} key @param {number} sent @returns {readonly number[]} */
function rateOf(key, sent) {
  const before = seen.rates.get(key);
  const isReset = before && sent < before.sent;
  const rates = !before || isReset ? [] : before.rates;
  if (before && !isReset && seen.at > before.at) rates.push(((sent - before.sent) * 1_000) / (seen.at - before.at));
  seen.rates.set(key, { at: seen.at, sent, rates: rates.slice(1 - MOST_SAMPLES) });
  return rates;
}

/** @param {any} health @param {readonly any[]} components */
function drawAgent({ queue, summary }, components) {
  const { lag, lastTick, inFlight, flapping } = summary;
  const seconds = (/** @type {number | null} */ value) => (value === null ? '–' : `${value} s`);
  facts($('agent'), [
    [
      'lag of the last minute',
      `median ${seconds(lag.p50)}, 99th percentile ${seconds(lag.p99)}, longest ${seconds(lag.max)}`,
    ],
    ['last tick', when(lastTick)],
    ['due within 12 s', number(queue.dueWithinSeconds)],
    ['running now', number(inFlight)],
    ['flapping', number(flapping)],
  ]);
  const ill = components.filter(({ status }) => status !== 'ok');
  const rows = [
    ...ill.map(({ kind, id, status, error }) => ({
      name: `${kind} ${id}`,
      words: [status, error].filter(Boolean).join(': '),
      bad: status !== 'starting',
    })),
    { name: 'components', words: `${components.length - ill.length} of ${components.length} are well`, bad: false },
  ];
  list(
    $('components'),
    rows,
    () => {
      const item = make('li');
      const line = make('div', undefined, 'line');
      line.append(make('strong'), make('span'));
      item.append(line);
      return item;
    },
    (item, { name, words, bad }) => {
      const [title, state] = item.firstElementChild.children;
      text(title, name);
      text(state, words);
      state.className = bad ? 'bad' : 'quiet';
    },
  );
}

// --- one target

/** The last look failed, and says so. */
let isStale = false;

/** @param {string} key */
async function openDetail(key) {
  seen.detail = key;
  text($('detail-title'), key);
  facts($('detail-facts'), []);
  list(
    $('ring'),
    [],
    () => make('li'),
    () => {},
  );
  text($('action-result'), '');
  $('actions').hidden = true;
  if (!$('detail').open) $('detail').showModal();
  await drawDetail();
}

async function drawDetail() {
  const key = seen.detail ?? '';
  try {
    const target = await ask(`${API}/scheduler/targets/${encodeURIComponent(key)}`);
    if (seen.detail !== key) return;
    const { pollStatus: poll, breaker, deadLetter } = target;
    const facing = Object.entries(target.facts ?? {});
    facts($('detail-facts'), [
      ['name', target.displayName],
      ['connection', target.connection],
      ['mode', target.mode],
      ['last success', when(poll.lastSuccess)],
      ['next run', poll.inFlight ? 'running' : `${when(poll.nextRun)} (${poll.cause.replaceAll('_', ' ')})`],
      ['interval', `${poll.interval} s, expected ${poll.expectedInterval} s`],
      ['failures in a row', poll.consecutiveFailures],
      [
        'last error',
        poll.lastError ? `${poll.lastError.code}: ${poll.lastError.message} (${when(poll.lastError.at)})` : '–',
      ],
      [
        'breaker',
        `${breaker.state.replace('_', '-')}, since ${when(breaker.since)}${breaker.flapping ? ', flapping' : ''}`,
      ],
      ['next attempt', breaker.retryAt === null ? '–' : when(breaker.retryAt)],
      [
        'dead letter',
        deadLetter.present ? `${deadLetter.reason.replaceAll('_', ' ')}, since ${when(deadLetter.firstAttempt)}` : 'no',
      ],
      ...facing.map(([name, value]) => /** @type {[string, string]} */ ([name, String(value)])),
    ]);
    const changes = [...breaker.transitions].reverse();
    const none = [{ at: null, from: '', to: '', cause: 'none since the agent started' }];
    list(
      $('ring'),
      changes.length > 0 ? changes : none,
      () => make('li'),
      (item, { at, from, to, cause }) =>
        text(
          item,
          at === null
            ? cause
            : `${when(at)}: ${from} → ${to} (${cause.replaceAll('_', ' ')})`.replaceAll('half_open', 'half-open'),
        ),
    );
    $('actions').hidden = !seen.mayAct;
    if (isStale) text($('action-result'), '');
    isStale = false;
  } catch (error) {
    isStale = true;
    if (error instanceof Refused && error.status === 404) $('actions').hidden = true;
    text($('action-result'), error instanceof Error ? error.message : String(error));
  }
}

/** @param {string} path @param {string} result id of the node for what became of it @param {(answer: any) => string} words */
async function act(path, result, words) {
  try {
    text($(result), words(await ask(path, { method: 'POST' })));
  } catch (error) {
    text($(result), error instanceof Error ? error.message : String(error));
  }
  await refresh();
}

/** @param {string} what @param {(answer: any) => string} words */
function actOnTarget(what, words) {
  return act(`${API}/scheduler/targets/${encodeURIComponent(seen.detail ?? '')}/${what}`, 'action-result', words);
}

// --- the reader

$('login').addEventListener('submit', async (/** @type {Event} */ event) => {
  event.preventDefault();
  const token = $('token').value;
  try {
    const headers = { 'content-type': 'application/json' };
    await ask('/api/login', { method: 'POST', headers, body: JSON.stringify({ token }) });
    reader++;
    $('token').value = '';
    text($('login-error'), '');
    await refresh();
    $('fleet').focus();
  } catch (error) {
    const isWrong = error instanceof Refused && error.status === 401;
    text(
      $('login-error'),
      isWrong ? 'This token is not known here.' : error instanceof Error ? error.message : String(error),
    );
    $('token').select();
  }
});

$('logout').addEventListener('click', async () => {
  try {
    await ask('/api/logout', { method: 'POST' });
  } catch (error) {
    return trouble(`You are still logged in: ${error instanceof Error ? error.message : error}.`);
  }
  reader++;
  seen.answers.clear();
  clearTimeout(timer);
  show('login');
});

$('filter').addEventListener('submit', (/** @type {Event} */ event) => event.preventDefault());
$('filter').addEventListener('input', () => {
  seen.page = 0;
  drawFleet();
});
for (const [id, step] of /** @type {const} */ ([
  ['previous', -1],
  ['next', 1],
]))
  $(id).addEventListener('click', () => {
    seen.page += step;
    drawFleet();
  });

$('detail').addEventListener('close', () => {
  seen.detail = undefined;
});
$('run').addEventListener('click', () => actOnTarget('run', ({ nextRun }) => `It runs ${when(nextRun)}.`));
$('reset').addEventListener('click', () => actOnTarget('reset', ({ nextRun }) => `Closed; next run ${when(nextRun)}.`));
$('redrive').addEventListener('click', () => $('confirm').showModal());
$('confirm').addEventListener('close', () => {
  const isWanted = $('confirm').returnValue === 'yes';
  $('confirm').returnValue = '';
  if (isWanted)
    void act(
      `${API}/scheduler/dead-letters/redrive`,
      'redrive-result',
      ({ accepted }) => `${accepted} are tried again.`,
    );
});

document.addEventListener('visibilitychange', refresh);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  drawLegend();
  drawFleet();
});
new ResizeObserver(() => drawGrids(wanted())).observe($('grids'));
setInterval(() => {
  if (seen.at > 0 && !$('status').hidden) text($('age'), `read ${duration(performance.now() - seen.at)} ago`);
}, 1_000);
drawLegend();
void refresh();
