package io.akin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.akin.v1.FindDuplicatesRequest;
import io.akin.v1.GetItemRequest;
import io.akin.v1.ImportItemsRequest;
import io.akin.v1.Item;
import io.akin.v1.ListItemsRequest;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;

@Timeout(30)
class CallInfoTest {
  private static final Map<String, Duration> TIMING =
      Map.of("embed", Duration.ofNanos(1_500_000), "total", Duration.ofMillis(2));
  private static final Item ITEM = Item.newBuilder().setItemId("a").setText("tea").build();

  private final StandIn server = new StandIn();
  private final AkinClient client = AkinClient.builder(server.address()).build();

  @AfterEach
  void stop() {
    client.close();
    server.close();
  }

  /** A call sends its request id, and reads the id and the timing. */
  @Test
  void aCallSendsItsIdAndReadsTheTiming() {
    CallInfo info = new CallInfo("order-1017");
    client.recommender().withInterceptors(info).getItem(GetItemRequest.getDefaultInstance());
    assertEquals("order-1017", info.requestId());
    assertEquals(TIMING, info.serverTiming());
    CallInfo made = new CallInfo();
    client.recommender().withInterceptors(made).getItem(GetItemRequest.getDefaultInstance());
    assertEquals("made by the server", made.requestId());
  }

  /** Streams send their request id, and read the timing at their end. */
  @Test
  void streamsReadTheTimingAtTheirEnd() {
    CallInfo info = new CallInfo("stream");
    client
        .analysis()
        .withInterceptors(info)
        .findDuplicates(FindDuplicatesRequest.getDefaultInstance())
        .forEachRemaining(response -> {});
    assertEquals("stream", info.requestId());
    assertEquals(TIMING, info.serverTiming());
    CallInfo imported = new CallInfo("import");
    client.withInterceptors(imported).importItems(List.of(ITEM).iterator(), result -> {});
    assertEquals("import", imported.requestId());
    assertEquals(TIMING, imported.serverTiming());
  }

  /** The error of a call has its request id. */
  @Test
  void errorsHaveTheId() {
    FindDuplicatesRequest request = FindDuplicatesRequest.newBuilder().setItemId("a").build();
    StatusRuntimeException error =
        assertThrows(
            StatusRuntimeException.class,
            () -> client.analysis().findDuplicates(request).forEachRemaining(response -> {}));
    assertEquals("made by the server", AkinException.of(error).requestId());
    CallInfo info = new CallInfo("lost-1");
    ImportItemsRequest missing =
        ImportItemsRequest.newBuilder().setCatalog(StandIn.MISSING_CATALOG).build();
    AkinException failed =
        assertThrows(
            AkinException.class,
            () ->
                client
                    .withInterceptors(info)
                    .importItems(missing, List.of(ITEM).iterator(), response -> {}));
    assertEquals("lost-1", failed.requestId());
    assertEquals("lost-1", info.requestId());
  }

  /** A client of a catalog shares the connection, and names the catalog in calls and imports. */
  @Test
  void aClientOfACatalogNamesIt() {
    AkinClient books = client.catalog("books");
    books.recommender().getItem(GetItemRequest.getDefaultInstance());
    books.recommender().getItem(GetItemRequest.newBuilder().setCatalog("films").build());
    books.importItems(List.of(ITEM).iterator(), result -> {});
    books.catalog("").recommender().getItem(GetItemRequest.getDefaultInstance());
    books
        .withInterceptors(new CallInfo())
        .recommender()
        .getItem(GetItemRequest.getDefaultInstance());
    client.recommender().getItem(GetItemRequest.getDefaultInstance());
    assertEquals(List.of("books", "films", "books", "", "books", ""), server.catalogs);
  }

  /** The catalog of a client can be set from the start. */
  @Test
  void theBuilderSetsTheCatalog() {
    try (AkinClient books = AkinClient.builder(server.address()).catalog("books").build()) {
      books.recommender().getItem(GetItemRequest.getDefaultInstance());
      books.catalog("films").recommender().getItem(GetItemRequest.getDefaultInstance());
    }
    assertEquals(List.of("books", "films"), server.catalogs);
  }

  /** A server of Akin makes an id for a call that has none, and measures its stages. */
  @Test
  @EnabledIfEnvironmentVariable(named = "AKIN_ADDRESS", matches = ".+")
  void aServerOfAkinMakesAnId() {
    CallInfo info = new CallInfo();
    try (AkinClient akin = AkinClient.builder(System.getenv("AKIN_ADDRESS")).build()) {
      akin.recommender()
          .withInterceptors(info)
          .listItems(ListItemsRequest.getDefaultInstance());
    }
    assertTrue(info.requestId().matches("[0-9a-f]{16}"), info.requestId());
    assertTrue(info.serverTiming().get("total").toNanos() > 0);
  }
}
