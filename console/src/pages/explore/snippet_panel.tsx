import { useRef, useState } from "preact/hooks";

import { loadConnection } from "../../api/connection";
import { readKey } from "../../api/session";
import type { RecommendRequest } from "../../api/types";
import { Tabs } from "../../parts/tabs";
import { toCurl, toGrpcurl, toPython } from "../../snippets";
import { useLoaded, useSession } from "../../state";

const LANGUAGES = { curl: "curl", python: "Python", grpc: "gRPC" };

/** The request that was sent, to copy. */
export function SnippetPanel({ request, name }: { request: RecommendRequest; name: string }) {
  const { api } = useSession();
  const [language, setLanguage] = useState<keyof typeof LANGUAGES>("curl");
  const { address = "localhost:50051", tls = false, key = false } = useLoaded(loadConnection, []).value ?? {};
  const hasOwnKey = readKey() !== "";
  // `akin console` adds its key to calls over HTTP, but programs call the server itself.
  const hasKey = hasOwnKey || (key && language !== "curl");
  const target = { address, tls, hasKey };
  const snippets = {
    curl: () => toCurl(api.buildRecommendRequest(request), location.origin, hasOwnKey),
    python: () => toPython(api.name, request, target),
    grpc: () => toGrpcurl(api.name, request, target),
  };
  return (
    <details class="snippet">
      <summary>Request {name} as code</summary>
      <Tabs label={`Request ${name}`} value={language} tabs={LANGUAGES} onValue={setLanguage}>
        <Code text={snippets[language]()} />
      </Tabs>
      {language !== "curl" && (
        <p class="hint">
          The server listens on this address; from another machine, it can have another one.
          {tls && " It uses TLS: for a certificate of a private CA, add the CA."}
        </p>
      )}
      {hasKey && (
        <p class="hint">
          The key is read from the variable <code>AKIN_API_KEY</code>.
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
