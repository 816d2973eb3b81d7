package io.akin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.akin.v1.GetCatalogRequest;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.File;
import java.io.IOException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;

/** TLS and API keys, with the server at AKIN_TLS_ADDRESS. */
@EnabledIfEnvironmentVariable(
    named = "AKIN_TLS_ADDRESS",
    matches = ".+",
    disabledReason = "AKIN_TLS_ADDRESS is not set")
class TlsTest {
  private static final GetCatalogRequest REQUEST = GetCatalogRequest.getDefaultInstance();

  /** A call with an API key succeeds. */
  @Test
  void aCallWithAKeySucceeds() throws IOException {
    try (AkinClient client = builder().apiKey(System.getenv("AKIN_API_KEY")).build()) {
      assertNotEquals("", client.catalogs().getCatalog(REQUEST).getCatalog().getName());
    }
  }

  /** A call without an API key is UNAUTHENTICATED. */
  @Test
  void aCallWithoutAKeyFails() throws IOException {
    try (AkinClient client = builder().build()) {
      StatusRuntimeException error =
          assertThrows(
              StatusRuntimeException.class, () -> client.catalogs().getCatalog(REQUEST));
      assertEquals(Status.Code.UNAUTHENTICATED, error.getStatus().getCode());
    }
  }

  private static AkinClient.Builder builder() throws IOException {
    return AkinClient.builder(System.getenv("AKIN_TLS_ADDRESS"))
        .tlsFiles(
            new File(System.getenv("AKIN_TLS_CA")),
            new File(System.getenv("AKIN_TLS_CERT")),
            new File(System.getenv("AKIN_TLS_KEY")));
  }
}
