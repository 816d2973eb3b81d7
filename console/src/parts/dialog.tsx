import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

import { ErrorNotice } from "./notice";
import { Icon } from "./icon";

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  isWide?: boolean;
}

const FIRST_FIELD = ".dialog-body :is(input:not([type=radio]:not(:checked)), textarea, select):not(:disabled)";

/** Give the focus back to what opened a dialog, or to the page if that is gone. */
function returnFocus(opener: Element | null): void {
  if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
  if (document.activeElement === document.body) document.getElementById("content")?.focus({ preventScroll: true });
}

/** A modal dialog; Escape and the button in its corner close it. Its first field has the focus, if there is one. */
export function Dialog({ title, onClose, children, isWide = false }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const dialog = element.current;
    const opener = document.activeElement;
    dialog?.showModal();
    dialog?.querySelector<HTMLElement>(FIRST_FIELD)?.focus();
    return () => {
      dialog?.close();
      returnFocus(opener);
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={isWide ? "dialog dialog-wide" : "dialog"}
      aria-labelledby={titleId}
      onCancel={(event) => {
        // Choosing no file after all is a cancellation as well, of a field in the dialog.
        if (event.target !== event.currentTarget) return;
        event.preventDefault();
        onClose();
      }}
    >
      <header class="dialog-head">
        <h2 id={titleId} dir="auto">
          {title}
        </h2>
        <button class="button button-plain button-icon" aria-label="Close" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      <div class="dialog-body">{children}</div>
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  verb: string;
  children: ComponentChildren;
  work: () => Promise<void>;
  onClose: () => void;
  /** Runs in place of onClose once the work is done. */
  onDone?: () => void;
  isDangerous?: boolean;
}

/** A dialog that does something once it is confirmed, and shows the error if that fails. */
export function Confirm({ title, verb, children, work, onClose, onDone = onClose, isDangerous = true }: ConfirmProps) {
  const [error, setError] = useState<unknown>();
  const [isRunning, setRunning] = useState(false);
  const confirm = async () => {
    setRunning(true);
    setError(undefined);
    try {
      await work();
      onDone();
    } catch (failure) {
      setError(failure);
      setRunning(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        class="dialog-form"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void confirm();
        }}
      >
        {children}
        <ErrorNotice error={error} />
        <div class="actions">
          <button class={`button ${isDangerous ? "button-danger" : "button-main"}`} disabled={isRunning}>
            {verb}
          </button>
          <button type="button" class="button" onClick={onClose}>
            {isDangerous ? "Keep" : "Cancel"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
