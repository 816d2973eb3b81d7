import io.akin.AkinClient;
import io.akin.AkinException;
import io.akin.Attributes;
import io.akin.v1.GetItemRequest;
import io.akin.v1.Item;
import io.akin.v1.ItemView;
import io.akin.v1.LikedItem;
import io.akin.v1.Preference;
import io.akin.v1.RecommendSimilarRequest;
import io.akin.v1.Recommendation;
import io.akin.v1.UpsertUserRequest;
import io.akin.v1.User;
import io.grpc.StatusRuntimeException;
import java.util.List;
import java.util.Map;

/**
 * Stores three items and a user, and recommends items for a text and for the user.
 *
 * <p>{@code mvn -q test-compile exec:java -Dexec.args=HOST:PORT}
 */
public final class Quickstart {
  private static final List<Item> ITEMS =
      List.of(
          item("shoe-1", "Lightweight trail running shoes with a grippy sole", 89),
          item("shoe-2", "Waterproof leather boots for winter hikes", 149),
          item("pan-1", "Cast iron skillet for searing steaks", 45));

  private Quickstart() {}

  /** Runs the example against a server. */
  public static void main(String[] args) {
    String address = args.length > 0 ? args[0] : "127.0.0.1:50051";
    try (AkinClient client = AkinClient.builder(address).build()) {
      client.importItems(
          ITEMS.iterator(),
          result -> {
            if (result.getCode() != 0) {
              System.out.println(result.getItemId() + ": " + result.getMessage());
            }
          });
      recommend(
          client, RecommendSimilarRequest.newBuilder().setText("jogging in the forest").build());

      User ann =
          User.newBuilder()
              .setUserId("ann")
              .addPreferences(Preference.newBuilder().setText("cooking meat"))
              .addLikedItems(LikedItem.newBuilder().setItemId("shoe-2"))
              .build();
      client.recommender().upsertUser(UpsertUserRequest.newBuilder().setUser(ann).build());
      recommend(client, RecommendSimilarRequest.newBuilder().setUserId("ann").build());

      try {
        client.recommender().getItem(GetItemRequest.newBuilder().setItemId("no such").build());
      } catch (StatusRuntimeException e) {
        AkinException error = AkinException.of(e);
        System.out.println(
            "an item that does not exist: " + error.code() + " " + error.reason());
      }
    }
  }

  private static void recommend(AkinClient client, RecommendSimilarRequest source) {
    RecommendSimilarRequest request =
        source.toBuilder().setView(ItemView.ITEM_VIEW_FULL).setLimit(3).build();
    for (Recommendation hit :
        client.recommender().recommendSimilar(request).getRecommendationsList()) {
      System.out.printf("%.3f %s%n", hit.getScore(), hit.getItem().getText());
    }
  }

  private static Item item(String id, String text, int price) {
    return Item.newBuilder()
        .setItemId(id)
        .setText(text)
        .setAttributes(Attributes.of(Map.of("price", price)))
        .build();
  }
}
