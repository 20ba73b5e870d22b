// Ways to a volume: a file, a DICOM folder, something dropped, an example, one that the server was started with.

import { server } from "./api.js";
import { make } from "./structure_list.js";
import { zip } from "./zip.js";

const MOST_FILES = 20000;

export class Opening {
  /**
   * @param {Workspace} workspace
   * @param {{stage: HTMLElement, file: HTMLInputElement, folder: HTMLInputElement}} elements
   */
  constructor(workspace, { stage, file, folder }) {
    Object.assign(this, { workspace, file, folder });
    this.again = null; // sends the same image again, as another modality
    file.addEventListener("change", () => file.files.length && this.files([...file.files]));
    folder.addEventListener("change", () => folder.files.length && this.files([...folder.files]));
    stage.addEventListener("dragover", (event) => {
      event.preventDefault();
      stage.classList.add("dropping");
    });
    stage.addEventListener("dragleave", () => stage.classList.remove("dropping"));
    stage.addEventListener("drop", async (event) => {
      event.preventDefault();
      stage.classList.remove("dropping");
      this.files(await dropped(event.dataTransfer));
    });
  }

  askForFile() {
    this.file.value = "";
    this.file.click();
  }

  askForFolder() {
    this.folder.value = "";
    this.folder.click();
  }

  example(id) {
    this.again = null;
    return this.workspace.open(() => server.openExample(id));
  }

  known(id) {
    this.again = null;
    return this.workspace.open(() => server.volume(id));
  }

  /** One file as it is; several as a zip, which the server takes for one DICOM series. */
  files(files) {
    if (!files.length) return undefined;
    if (files.length > MOST_FILES) {
      this.workspace.tell("notice", `That are ${files.length} files; open the folder of one series.`);
      return undefined;
    }
    this.again = (modality) => this.workspace.open(async () => {
      const [file] = files;
      if (files.length === 1) return server.upload(file, file.name, { modality });
      const entries = await Promise.all(files.map(async (one) => ({
        name: one.webkitRelativePath || one.name,
        bytes: new Uint8Array(await one.arrayBuffer()),
      })));
      const [folder] = (file.webkitRelativePath || "series").split("/");
      return server.upload(zip(entries), `${folder || "series"}.zip`, { modality });
    });
    return this.again(null);
  }

  /** The same image again, taken for another modality. */
  as(modality) {
    if (this.again) return this.again(modality);
    const { volume, file } = this.workspace;
    const name = `${volume.name.replace(/\.(nii|gz|nrrd|mha|mgz|zip)/g, "")}.nii`;
    return this.workspace.open(() => server.upload(new Blob([file]), name, { modality }));
  }

  /** Fill the menu and the first page with the examples that the server has. */
  async offer(menu, choices) {
    const entries = [
      { title: "Open a file …", small: "NIfTI, NRRD, MetaImage, MGH, one DICOM file, a zip of DICOM files", act: () => this.askForFile() },
      { title: "Open a DICOM folder …", small: "one series", act: () => this.askForFolder() },
    ];
    const examples = (await server.examples()).map(({ id, title }) => ({ title: `Example: ${title}`, small: "", act: () => this.example(id) }));
    menu.replaceChildren(...entries.map(entry), make("hr"), ...examples.map(entry));
    const buttons = [...entries, ...examples].map(({ title, act }, place) => {
      const button = make("button", { textContent: title, type: "button", className: place ? "" : "first" });
      button.addEventListener("click", act);
      return button;
    });
    choices.replaceChildren(...buttons);
  }
}

/** A menu's entry: a button that closes the menu. */
export function entry({ title, small, act, disabled = false }) {
  const item = make("li");
  const button = make("button", { type: "button", disabled });
  button.append(title);
  if (small) button.append(make("small", { textContent: small }));
  button.addEventListener("click", () => {
    button.closest("[popover]").hidePopover();
    act();
  });
  item.append(button);
  return item;
}

/** The files of a drop, those in folders too. */
async function dropped(transfer) {
  const roots = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!roots.some(({ isDirectory }) => isDirectory)) return [...transfer.files];
  const files = [];
  const visit = async (node) => {
    if (node.isFile) {
      files.push(await new Promise((done, failed) => { node.file(done, failed); }));
      return;
    }
    const reader = node.createReader();
    for (;;) {
      const children = await new Promise((done, failed) => { reader.readEntries(done, failed); });
      if (!children.length) return;
      for (const child of children) await visit(child);
    }
  };
  for (const root of roots) await visit(root);
  return files;
}
