package io.akin;

import io.akin.v1.AnalysisServiceGrpc;
import io.akin.v1.AnalysisServiceGrpc.AnalysisServiceBlockingStub;
import io.akin.v1.AnalysisServiceGrpc.AnalysisServiceStub;
import io.akin.v1.CatalogServiceGrpc;
import io.akin.v1.CatalogServiceGrpc.CatalogServiceBlockingStub;
import io.akin.v1.ImportItemsRequest;
import io.akin.v1.ImportItemsResponse;
import io.akin.v1.Item;
import io.akin.v1.ItemResult;
import io.akin.v1.RecommenderServiceGrpc;
import io.akin.v1.RecommenderServiceGrpc.RecommenderServiceBlockingStub;
import io.akin.v1.RecommenderServiceGrpc.RecommenderServiceFutureStub;
import io.akin.v1.RecommenderServiceGrpc.RecommenderServiceStub;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptors;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.time.Duration;
import java.util.Iterator;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * A connection to an Akin server, for threads; any number may share it.
 *
 * <p>Calls are made with the stubs of {@code io.akin.v1}, and fail with
 * {@link io.grpc.StatusRuntimeException}; {@link AkinException} tells more about it.
 */
public final class AkinClient implements AutoCloseable {
  private static final int MESSAGE_BYTES = 64 << 20;
  private static final long CLOSE_SECONDS = 5;

  private final ManagedChannel connection;
  private final Channel channel;

  private AkinClient(Builder builder) {
    connection =
        Grpc.newChannelBuilder(builder.address, builder.credentials)
            .maxInboundMessageSize(MESSAGE_BYTES)
            .defaultServiceConfig(ServiceConfig.load())
            .enableRetry()
            .build();
    channel =
        ClientInterceptors.intercept(connection, new CallDefaults(builder.timeout, builder.apiKey));
  }

  /**
   * Begins a client, without TLS unless it is asked for.
   *
   * @param address the server, as {@code host:port}
   */
  public static Builder builder(String address) {
    return new Builder(address);
  }

  /** The calls about items, users and recommendations; each waits for its answer. */
  public RecommenderServiceBlockingStub recommender() {
    return RecommenderServiceGrpc.newBlockingStub(channel);
  }

  /** The same calls; each returns a future of its answer. */
  public RecommenderServiceFutureStub recommenderFuture() {
    return RecommenderServiceGrpc.newFutureStub(channel);
  }

  /** The same calls; each gives its answers to an observer. */
  public RecommenderServiceStub recommenderAsync() {
    return RecommenderServiceGrpc.newStub(channel);
  }

  /** The calls about catalogs and the change of their models; each waits for its answer. */
  public CatalogServiceBlockingStub catalogs() {
    return CatalogServiceGrpc.newBlockingStub(channel);
  }

  /**
   * The calls about repetitions, oddities, groups, labels and passages; each waits for its answer.
   *
   * <p>The answers of {@code findDuplicates} are an iterator, which waits for each of them.
   */
  public AnalysisServiceBlockingStub analysis() {
    return AnalysisServiceGrpc.newBlockingStub(channel);
  }

  /** The same calls; each gives its answers to an observer. */
  public AnalysisServiceStub analysisAsync() {
    return AnalysisServiceGrpc.newStub(channel);
  }

  /** What the stubs are made on, for others such as that of the health service. */
  public Channel channel() {
    return channel;
  }

  /**
   * Stores many items in the default catalog, and returns when all have their results.
   *
   * @param items read as fast as the server takes them
   * @param results is given one result for each item, in order, by the calling thread
   * @throws AkinException if the call failed; items without a result may be stored all the same
   */
  public void importItems(Iterator<Item> items, Consumer<ItemResult> results) {
    importItems(
        ImportItemsRequest.getDefaultInstance(),
        items,
        response -> response.getResultsList().forEach(results));
  }

  /**
   * Stores or checks many items, and tells what embedding each message of them took.
   *
   * <p>There is no deadline: put one on the {@link io.grpc.Context} if the import needs it.
   *
   * @param settings the catalog and how to treat the items; its own items are not sent
   * @param items read as fast as the server takes them
   * @param responses is given the results of each message, in order, by the calling thread
   * @throws AkinException if the call failed; items without a result may be stored all the same
   */
  public void importItems(
      ImportItemsRequest settings,
      Iterator<Item> items,
      Consumer<ImportItemsResponse> responses) {
    new ItemImport(channel, settings, items).run(responses);
  }

  /** Ends the connection, and with it the calls under way. */
  @Override
  public void close() {
    connection.shutdownNow();
    try {
      connection.awaitTermination(CLOSE_SECONDS, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** What a client is made of. */
  public static final class Builder {
    private final String address;
    private ChannelCredentials credentials = InsecureChannelCredentials.create();
    private boolean secure;
    private String apiKey = "";
    private Duration timeout = Duration.ofSeconds(10);

    private Builder(String address) {
      this.address = Objects.requireNonNull(address);
    }

    /** Sends this key with every call; empty, as at first, for none. */
    public Builder apiKey(String key) {
      apiKey = Objects.requireNonNull(key);
      return this;
    }

    /** Speaks TLS, and trusts the authorities that Java trusts. */
    public Builder tls() {
      return tls(TlsChannelCredentials.create());
    }

    /**
     * Speaks TLS, and trusts an authority of your own.
     *
     * @param ca the authority's certificate, PEM
     * @throws IOException if the file cannot be read
     */
    public Builder tlsFiles(File ca) throws IOException {
      return tls(TlsChannelCredentials.newBuilder().trustManager(ca).build());
    }

    /**
     * Speaks TLS, trusts an authority of your own, and shows a certificate.
     *
     * @param ca the authority's certificate, PEM
     * @param certificate the client's own certificate, PEM
     * @param key the private key of the certificate, PEM as PKCS#8
     * @throws IOException if a file cannot be read
     */
    public Builder tlsFiles(File ca, File certificate, File key) throws IOException {
      return tls(
          TlsChannelCredentials.newBuilder().trustManager(ca).keyManager(certificate, key).build());
    }

    private Builder tls(ChannelCredentials made) {
      credentials = made;
      secure = true;
      return this;
    }

    /**
     * The deadline of calls that are given none, retries included; 10 seconds at first.
     *
     * <p>What goes through a whole catalog ({@code findDuplicates}, {@code findOutliers}, {@code
     * clusterItems}) has 10 minutes always, if it is given none.
     */
    public Builder timeout(Duration each) {
      if (each.isNegative() || each.isZero()) {
        throw new IllegalArgumentException("the timeout must be positive");
      }
      timeout = each;
      return this;
    }

    /**
     * Makes the client. It connects with the first call.
     *
     * @throws IllegalStateException if a key would leave this machine without TLS
     */
    public AkinClient build() {
      if (!apiKey.isEmpty() && !secure && !Loopback.matches(address)) {
        throw new IllegalStateException("an API key needs TLS, but for an address of loopback");
      }
      return new AkinClient(this);
    }
  }
}
