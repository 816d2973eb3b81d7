import { useRef, useState } from "preact/hooks";

import { readKey } from "../../api/session";
import type { RecommendRequest } from "../../api/types";
import { Tabs } from "../../parts/tabs";
import { toCurl, toGrpcurl, toPython } from "../../snippets";
import { useSession } from "../../state";

const LANGUAGES = { curl: "curl", python: "Python", grpc: "gRPC" };

/** The request that was sent, to copy. */
export function SnippetPanel({ request, name }: { request: RecommendRequest; name: string }) {
  const { api } = useSession();
  const [language, setLanguage] = useState<keyof typeof LANGUAGES>("curl");
  const hasKey = readKey() !== "";
  const snippets = {
    curl: () => toCurl(api.buildRecommendRequest(request), location.origin, hasKey),
    python: () => toPython(api.name, request, hasKey),
    grpc: () => toGrpcurl(api.name, request, hasKey),
  };
  return (
    <details class="snippet">
      <summary>Request {name} as code</summary>
      <Tabs label={`Request ${name}`} value={language} tabs={LANGUAGES} onValue={setLanguage}>
        <Code text={snippets[language]()} />
      </Tabs>
      {language !== "curl" && (
        <p class="hint">The address is the default one of the gRPC listener; the console does not know yours.</p>
      )}
      {hasKey && (
        <p class="hint">
          The key is read from the variable <code>AKIN_KEY</code>.
        </p>
      )}
    </details>
  );
}

function Code({ text }: { text: string }) {
  const [note, setNote] = useState("");
  const code = useRef<HTMLPreElement>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setNote("Copied");
    } catch {
      // Without HTTPS, browsers refuse access to the clipboard.
      if (code.current) getSelection()?.selectAllChildren(code.current);
      setNote("Selected; copy it with the keyboard");
    }
  };
  return (
    <div class="code">
      <pre ref={code} tabIndex={0}>
        {text}
      </pre>
      <div class="code-actions">
        <button class="button button-small" onClick={() => void copy()}>
          Copy
        </button>
        <span class="muted" role="status">
          {note}
        </span>
      </div>
    </div>
  );
}
