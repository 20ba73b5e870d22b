// What the page works on: one volume, one session on it, its structures and their masks, and what can be taken back.
//
// Every request goes through `queue`, one after another, so that prompts are answered in the order they were given.
// Events: "opened", "structures" (the list or a figure of it), "masks" (detail: the box that changed), "busy",
// "problem" (detail: the error), "notice" (detail: a sentence).

import { Grid, union, whole } from "./geometry.js";
import { Mask, compose } from "./masks.js";
import { ServerError, server } from "./api.js";

export class Workspace extends EventTarget {
  constructor() {
    super();
    this.volume = null;
    this.grid = null;
    this.session = null;
    this.structures = []; // as the server describes them, each with its `mask`
    this.activeId = null;
    this.names = { names: [], free_text: false };
    this.done = []; // actions: the structures' numbers, the stroke where one was drawn, both adapters of a switch
    this.undone = [];
    this.saved = true;
    this.pending = 0;
    this.last = Promise.resolve();
    this.timing = null;
  }

  get active() {
    return this.structures.find(({ id }) => id === this.activeId) ?? null;
  }

  /**
   * Do one thing after what was asked before it; a failure is told as "problem" and answered with undefined.
   *
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T|undefined>}
   */
  queue(work) {
    this.pending += 1;
    this.tell("busy");
    const run = this.last.then(work).catch((error) => {
      this.tell("problem", error);
      return undefined;
    });
    this.last = run.then(() => {
      this.pending -= 1;
      this.tell("busy");
    });
    return run;
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /**
   * Take a volume that the server has, and begin a session on it.
   *
   * @param {() => Promise<object>} find - gives the volume as the server describes it.
   * @param {?string} adapter - null takes the expert for its modality, else the base.
   */
  open(find, adapter = null) {
    return this.queue(async () => {
      const volume = await find();
      const [file, session] = await Promise.all([server.image(volume), server.session(volume, adapter)]);
      this.release();
      Object.assign(this, { volume, session, file, grid: new Grid(volume.shape, volume.affine) });
      Object.assign(this, { structures: [], activeId: null, done: [], undone: [], saved: true, timing: null });
      this.names = await session.names();
      this.tell("opened");
      this.tell("structures");
      [...volume.warnings, ...session.state.warnings].forEach((sentence) => this.tell("notice", `${sentence}.`));
    });
  }

  /** Free the server's memory. */
  release() {
    this.session?.release();
    this.session = null;
  }

  get adapter() {
    return this.session?.state.adapter ?? null;
  }

  /** A new structure, which becomes the active one. */
  add(name = null) {
    return this.queue(() => this.addNow(name));
  }

  async addNow(name) {
    const structure = await this.session.add(name);
    this.structures.push({ ...structure, mask: new Mask() });
    this.activate(structure.id);
    return structure.id;
  }

  activate(id) {
    this.activeId = id;
    this.tell("structures");
  }

  /**
   * Say one thing more of the active structure; the first makes a structure.
   *
   * @param {object} prompt - as the server takes it.
   * @param {?object} stroke - what was drawn, to be shown while it holds.
   */
  prompt(prompt, stroke = null) {
    return this.queue(async () => {
      const id = this.activeId ?? (await this.addNow(null));
      return this.promptNow(id, prompt, stroke);
    });
  }

  async promptNow(id, prompt, stroke = null) {
    const start = performance.now();
    const answer = await this.session.prompt(id, prompt);
    const received = performance.now();
    this.take([answer]);
    this.remember([id], stroke);
    this.timing = { whole: performance.now() - start, drawing: performance.now() - received, server: answer.seconds };
    this.tell("structures");
    return answer;
  }

  /** Segment by a name: the structure that is called so, else the active one if nothing was said of it, else a new one. */
  ask(text) {
    return this.queue(async () => {
      const named = this.structures.find(({ name }) => name === text);
      const blank = this.active && !this.active.can_undo && isDefaultName(this.active.name) ? this.active : null;
      let id = (named ?? blank)?.id;
      if (id === undefined) {
        id = await this.addNow(text);
      } else if (!named) {
        this.update(await this.session.change(id, { name: text }));
      }
      this.activate(id);
      return this.promptNow(id, { kind: "text", text });
    });
  }

  undo() {
    return this.queue(() => this.step(this.done, this.undone, "before", (id) => this.session.undo(id)));
  }

  redo() {
    return this.queue(() => this.step(this.undone, this.done, "after", (id) => this.session.redo(id)));
  }

  /** Take an action back, or bring it again; that of an adapter switches, and the next prompt is answered by that one. */
  async step(from, to, which, ask) {
    const action = from.at(-1);
    if (!action) return;
    if (action.adapters) await this.switchNow(action.adapters[which], false);
    for (const id of action.ids) this.take([await ask(id)]);
    to.push(from.pop());
    if (action.ids.length === 1) [this.activeId] = action.ids;
    this.tell("structures");
  }

  /** Forget all that was said of a structure. */
  reset(id) {
    return this.queue(async () => {
      this.take([await this.session.reset(id)]);
      this.forget(id);
      this.tell("structures");
    });
  }

  remove(id) {
    return this.queue(async () => {
      await this.session.remove(id);
      const gone = this.structures.find((structure) => structure.id === id);
      this.structures = this.structures.filter((structure) => structure !== gone);
      this.forget(id);
      if (this.activeId === id) this.activeId = this.structures.at(-1)?.id ?? null;
      this.tell("masks", gone.mask.box);
      this.tell("structures");
    });
  }

  change(id, what) {
    return this.queue(async () => {
      const before = this.structures.find((structure) => structure.id === id);
      this.update(await this.session.change(id, what));
      if ("visible" in what) this.tell("masks", before.mask.box);
      if ("colour" in what) this.tell("colours");
      this.tell("structures");
    });
  }

  /** From now on another adapter answers, what was asked before, too. */
  setAdapter(adapter) {
    return this.queue(async () => {
      const adapters = { before: this.adapter, after: adapter };
      const answers = await this.switchNow(adapter, true);
      this.take(answers);
      this.remember(answers.map(({ structure }) => structure.id), null, adapters);
      this.tell("structures");
    });
  }

  /** Let an adapter answer; its answers to what was asked before, if it is to give them. */
  async switchNow(adapter, askAgain) {
    const answers = await this.session.setAdapter(adapter, askAgain);
    this.session.state.structures.forEach((structure) => this.update(structure));
    this.names = await this.session.names();
    this.tell("adapter");
    return answers;
  }

  /** Another adapter's answer to what was said of a structure: what the server says of it, and its mask. */
  async compare(id, adapter) {
    const answer = await this.session.compare(id, adapter);
    const mask = new Mask();
    mask.apply(answer.mask);
    return { ...answer.structure, mask };
  }

  async save(format) {
    const file = await this.session.labels(format);
    this.saved = true;
    return file;
  }

  /** Write a box of a label map from the visible structures. */
  writeLabels(labels, box = whole(this.grid), structures = this.structures) {
    const visible = structures.filter((structure) => structure.visible).sort((one, other) => one.id - other.id);
    compose(labels, this.grid, visible.map(({ id, mask }) => ({ label: id, mask })), box);
  }

  take(answers) {
    let changed = null;
    for (const { structure, mask } of answers) {
      this.update(structure);
      changed = union(changed, this.structures.find(({ id }) => id === structure.id).mask.apply(mask));
    }
    if (changed) this.saved = false;
    this.tell("masks", changed);
  }

  update(structure) {
    const place = this.structures.findIndex(({ id }) => id === structure.id);
    if (place >= 0) this.structures[place] = { ...structure, mask: this.structures[place].mask };
  }

  remember(ids, stroke = null, adapters = null) {
    this.done.push({ ids, stroke, adapters });
    this.undone = [];
  }

  /** What was drawn of a structure and holds. */
  strokes(id) {
    return this.done.filter(({ ids, stroke }) => stroke && ids.includes(id)).map(({ stroke }) => stroke);
  }

  forget(id) {
    const without = (actions) =>
      actions
        .map((action) => ({ ...action, ids: action.ids.filter((one) => one !== id) }))
        .filter(({ ids, adapters }) => ids.length || adapters);
    this.done = without(this.done);
    this.undone = without(this.undone);
  }

  /** A sign of life, now and then, while the page is open. */
  async stayAlive() {
    if (!this.session) return;
    try {
      await this.session.heartbeat();
    } catch (error) {
      if (error instanceof ServerError && error.status === 410) this.tell("problem", error);
    }
  }
}

function isDefaultName(name) {
  return !name || /^structure( \d+)?$/i.test(name);
}
