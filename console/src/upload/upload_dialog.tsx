import { useRef, useState } from "preact/hooks";

import { formatCount } from "../format";
import { Progress } from "../parts/bar";
import { Dialog } from "../parts/dialog";
import { CheckField, Choice, Field } from "../parts/field";
import { ErrorNotice, Notice } from "../parts/notice";
import { useSession } from "../state";
import type { Kind } from "./convert";
import { type ImportProgress, MAX_LISTED_REFUSALS, importFile } from "./import";

const KINDS: Record<Kind, string> = { items: "Items", users: "Users", interactions: "Interactions" };

const HINTS: Record<Kind, string> = {
  items: "Items need id and text. Other columns of a CSV become attributes.",
  users: "Users need user_id, and preferences or liked_items, which are JSON in a CSV.",
  interactions: "Interactions need a user, an item, and a type or a rating up to 5. Columns with usual names are found.",
};

type State = "choosing" | "running" | "done" | "stopped";

/** The upload of a file in a form that `akin import` reads, too. */
export function UploadDialog({ initialKind, onClose }: { initialKind: Kind; onClose: () => void }) {
  const { api } = useSession();
  const [kind, setKind] = useState(initialKind);
  const [file, setFile] = useState<File>();
  const [validateOnly, setValidateOnly] = useState(false);
  const [state, setState] = useState<State>("choosing");
  const [progress, setProgress] = useState<ImportProgress>();
  const [error, setError] = useState<unknown>();
  const controller = useRef(new AbortController());

  const start = async (chosen: File) => {
    controller.current = new AbortController();
    setState("running");
    setError(undefined);
    const { signal } = controller.current;
    try {
      setProgress(await importFile(api, chosen, { kind, validateOnly, signal, onProgress: setProgress }));
      setState("done");
    } catch (failure) {
      setError(failure);
      setState("stopped");
    }
  };
  const restart = (change: () => void) => {
    change();
    setState("choosing");
    setProgress(undefined);
    setError(undefined);
  };
  const close = () => {
    controller.current.abort();
    onClose();
  };
  return (
    <Dialog title={`Upload ${kind}`} onClose={close} isWide>
      {state !== "running" && (
        <Choice legend="What the file contains" value={kind} options={KINDS} onValue={(next) => restart(() => setKind(next))} />
      )}
      <p class="hint">
        JSON lines, a JSON array, or CSV with a header, in UTF-8. For Parquet and compressed files, or to map columns, use{" "}
        <code>akin import</code>.
      </p>
      <Field label="File" hint={HINTS[kind]}>
        {(id, hintId) => (
          <input
            id={id}
            type="file"
            accept=".jsonl,.ndjson,.json,.csv,.tsv"
            aria-describedby={hintId}
            disabled={state === "running"}
            onChange={(event) => {
              const chosen = event.currentTarget.files?.[0];
              restart(() => setFile(chosen));
            }}
          />
        )}
      </Field>
      <CheckField
        label="Only check the lines; store nothing"
        checked={validateOnly}
        disabled={state === "running"}
        onValue={(next) => restart(() => setValidateOnly(next))}
      />
      <div class="actions">
        <button
          class="button button-main"
          disabled={!file || state === "running"}
          onClick={() => file && void start(file)}
        >
          {validateOnly ? "Check" : "Upload"}
        </button>
        {state === "running" && (
          <button class="button" onClick={() => controller.current.abort()}>
            Cancel
          </button>
        )}
      </div>
      <ErrorNotice error={error} />
      {file && progress && (
        <Outcome file={file} progress={progress} isDone={state === "done"} verb={validateOnly ? "valid" : "stored"} />
      )}
    </Dialog>
  );
}

interface OutcomeProps {
  file: File;
  progress: ImportProgress;
  isDone: boolean;
  verb: string;
}

function Outcome({ file, progress, isDone, verb }: OutcomeProps) {
  const { readBytes, stored, duplicates, refused, notes } = progress;
  const refusals = [...progress.refusals].sort((left, right) => left.line - right.line);
  const known = duplicates ? `, ${formatCount(duplicates)} recorded before` : "";
  const label = `${formatCount(stored)} ${verb}${known}, ${formatCount(refused)} refused`;
  return (
    <>
      <Progress share={file.size ? readBytes / file.size : 1} label={label} />
      {notes.length > 0 && <p class="hint">{notes.join(". ")}.</p>}
      {isDone && <Notice kind={refused ? "warning" : "info"}>{`Done: ${label}.`}</Notice>}
      {refusals.length > 0 && (
        <div class="table-scroll" role="region" aria-label="Refused lines" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col" class="number">
                  Line
                </th>
                <th scope="col">Why it was refused</th>
              </tr>
            </thead>
            <tbody>
              {refusals.map(({ line, message }) => (
                <tr key={line}>
                  <td class="number">{line}</td>
                  <td>{message}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {refused > MAX_LISTED_REFUSALS && <p class="hint">The first {MAX_LISTED_REFUSALS} are listed.</p>}
    </>
  );
}
