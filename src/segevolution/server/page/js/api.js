// The server's own API (docs/reference/server_api.md), and the session of this page on it.

/** What the server, or the way to it, did not do: `message` is a sentence for a person. */
export class ServerError extends Error {
  constructor(sentence, status, kind) {
    super(sentence);
    this.status = status;
    this.kind = kind;
  }
}

const KEY = "segevolution-key";

/** The key from the address `/#key=...`, kept for this tab; an address with a key is soon another's to read. */
export function takeKey(fragment) {
  if (fragment.has("key")) sessionStorage.setItem(KEY, fragment.get("key"));
}

export function keepKey(key) {
  sessionStorage.setItem(KEY, key);
}

function headers(more) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...more, Authorization: `Bearer ${key}` } : more;
}

/**
 * Ask the server.
 *
 * @param {string} method
 * @param {string} path - from /api on.
 * @param {{json?: object, bytes?: Blob|ArrayBuffer, query?: object}} body - keys of `query` that are null are left out.
 * @returns {Promise<Response>}
 */
async function ask(method, path, { json, bytes, query } = {}) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const address = given.length ? `${path}?${new URLSearchParams(given)}` : path;
  const request = { method, headers: headers({}) };
  if (json !== undefined) {
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(json);
  } else if (bytes !== undefined) {
    request.headers["Content-Type"] = "application/octet-stream";
    request.body = bytes;
  }
  let response;
  try {
    response = await fetch(address, request);
  } catch {
    throw new ServerError("The server does not answer; is `segevolution serve` still running?", 0, "Unreachable");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  const sentence = body.error ?? `The server answered with status ${response.status}.`;
  throw new ServerError(sentence, response.status, body.kind ?? "Unknown");
}

const get = async (path, query) => (await ask("GET", path, { query })).json();
const send = async (method, path, json) => (await ask(method, path, { json })).json();

export const server = {
  health: () => get("/api/health"),
  about: () => get("/api/server"),
  adapters: async () => (await get("/api/adapters")).adapters,
  examples: async () => (await get("/api/examples")).examples,
  volume: (id) => get(`/api/volumes/${encodeURIComponent(id)}`),
  openExample: async (example) => (await ask("POST", "/api/volumes", { query: { example } })).json(),
  upload: async (file, name, query) =>
    (await ask("POST", "/api/volumes", { bytes: file, query: { ...query, name } })).json(),
  image: async (volume) => (await ask("GET", volume.image)).arrayBuffer(),
  session: async (volume, adapter) => new Session(await send("POST", "/api/sessions", { volume: volume.id, adapter })),
};

/** One person's work on one volume. */
export class Session {
  constructor(state) {
    this.state = state;
    this.path = `/api/sessions/${state.id}`;
  }

  structure(id) {
    return `${this.path}/structures/${id}`;
  }

  names = () => get(`${this.path}/names`);
  heartbeat = () => send("POST", `${this.path}/heartbeat`);
  add = (name, colour) => send("POST", `${this.path}/structures`, { name, colour });
  change = (id, what) => send("PATCH", this.structure(id), what);
  remove = (id) => send("DELETE", this.structure(id));
  prompt = (id, prompt) => send("POST", `${this.structure(id)}/prompts`, prompt);
  undo = (id) => send("POST", `${this.structure(id)}/undo`);
  redo = (id) => send("POST", `${this.structure(id)}/redo`);
  reset = (id) => send("POST", `${this.structure(id)}/reset`);
  compare = (id, adapter) => send("POST", `${this.structure(id)}/compare`, { adapter });
  mask = (id) => get(`${this.structure(id)}/mask`);

  async setAdapter(adapter, askAgain = true) {
    const { session, answers } = await send("PUT", `${this.path}/adapter`, { adapter, ask_again: askAgain });
    this.state = session;
    return answers;
  }

  /** The label map as a file, and the name that the server gives it. */
  async labels(format) {
    const response = await ask("GET", `${this.path}/labels`, { query: { format } });
    const named = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "");
    return { blob: await response.blob(), name: named ? named[1] : `labels.${format}` };
  }

  /** Free the server's memory; also while the page is being left. */
  release() {
    fetch(this.path, { method: "DELETE", headers: headers({}), keepalive: true }).catch(() => {});
  }
}
