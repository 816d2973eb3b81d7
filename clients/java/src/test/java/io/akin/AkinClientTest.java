package io.akin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.akin.v1.GetItemRequest;
import io.akin.v1.ImportItemsRequest;
import io.akin.v1.Item;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class AkinClientTest {
  private final StandIn server = new StandIn();

  @AfterEach
  void stop() {
    server.close();
  }

  @Test
  void callsHaveADeadlineAndTheKey() {
    try (AkinClient client =
        AkinClient.builder(server.address()).apiKey("k").timeout(Duration.ofSeconds(5)).build()) {
      get(client, "a");
    }
    assertEquals("Bearer k", server.authorization);
    assertTrue(server.deadline.timeRemaining(TimeUnit.SECONDS) <= 5);
  }

  @Test
  void aDeadlineOfTheCallWins() {
    try (AkinClient client = AkinClient.builder(server.address()).build()) {
      client
          .recommender()
          .withDeadlineAfter(60, TimeUnit.SECONDS)
          .getItem(GetItemRequest.getDefaultInstance());
    }
    assertNull(server.authorization);
    assertTrue(server.deadline.timeRemaining(TimeUnit.SECONDS) > 30);
  }

  @Test
  void unavailableIsTriedAgain() {
    server.failures.set(1);
    try (AkinClient client = AkinClient.builder(server.address()).build()) {
      assertEquals("a", get(client, "a"));
    }
    assertEquals(-1, server.failures.get());
  }

  @Test
  void aKeyNeedsTlsOrLoopback() {
    for (String address :
        List.of("akin.example:50051", "127.0.0.1.example:1", "10.0.0.1:1", "localhost.example")) {
      AkinClient.Builder builder = AkinClient.builder(address).apiKey("k");
      assertThrows(IllegalStateException.class, builder::build, address);
      builder.tls().build().close();
    }
    for (String address : List.of("localhost:1", "127.0.0.2:1", "[::1]:1", "dns:///localhost:1")) {
      AkinClient.builder(address).apiKey("k").build().close();
    }
  }

  @Test
  void importsGoInMessages() {
    List<String> ids = new ArrayList<>();
    try (AkinClient client = AkinClient.builder(server.address()).build()) {
      client.importItems(items(600, "text"), each -> ids.add(each.getItemId()));
      assertEquals(IntStream.range(0, 600).mapToObj(each -> "item-" + each).toList(), ids);
      assertEquals(List.of(256, 256, 88), server.imported);
      assertNull(server.deadline);

      server.imported.clear();
      client.importItems(items(10, "x".repeat(1_000_000)), each -> ids.add(each.getItemId()));
      assertEquals(List.of(4, 4, 2), server.imported);

      server.imported.clear();
      client.importItems(items(0, ""), each -> ids.add(each.getItemId()));
      assertEquals(List.of(), server.imported);
    }
    assertEquals(610, ids.size());
  }

  @Test
  void aRefusedImportTellsWhy() {
    ImportItemsRequest settings = ImportItemsRequest.newBuilder().setCatalog("no-such").build();
    try (AkinClient client = AkinClient.builder(server.address()).build()) {
      Iterator<Item> endless = Stream.generate(() -> item("a", "text")).iterator();
      AkinException error =
          assertThrows(
              AkinException.class, () -> client.importItems(settings, endless, each -> {}));
      assertEquals(Status.Code.NOT_FOUND, error.code());
    }
  }

  @Test
  void anImportEndsWithItsItemsAndItsContext() {
    Iterator<Item> broken =
        Stream.<Item>generate(
                () -> {
                  throw new BrokenException();
                })
            .iterator();
    try (AkinClient client = AkinClient.builder(server.address()).build()) {
      assertThrows(BrokenException.class, () -> client.importItems(broken, each -> {}));
      Context.CancellableContext cancelled = Context.current().withCancellation();
      cancelled.cancel(null);
      cancelled.run(
          () -> {
            StatusRuntimeException error =
                assertThrows(
                    StatusRuntimeException.class,
                    () -> client.importItems(items(1, "text"), each -> {}));
            assertEquals(Status.Code.CANCELLED, error.getStatus().getCode());
          });
    }
  }

  private static final class BrokenException extends RuntimeException {
    private static final long serialVersionUID = 1L;
  }

  private static String get(AkinClient client, String id) {
    GetItemRequest request = GetItemRequest.newBuilder().setItemId(id).build();
    return client.recommender().getItem(request).getItem().getItemId();
  }

  private static Iterator<Item> items(int count, String text) {
    return IntStream.range(0, count).mapToObj(each -> item("item-" + each, text)).iterator();
  }

  private static Item item(String id, String text) {
    return Item.newBuilder().setItemId(id).setText(text).build();
  }
}
