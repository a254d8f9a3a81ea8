import java.io.ByteArrayInputStream;
import java.io.FileInputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Sends one signed body in each way of the JDK's clients. Arguments: URL, signature, body, file of the CA. */
public class Sender {
    public static void main(String[] arguments) throws Exception {
        SSLContext tls = tls(arguments[3]);
        HttpClient client = HttpClient.newBuilder().sslContext(tls).build();
        byte[] body = arguments[2].getBytes(StandardCharsets.UTF_8);
        BodyPublisher chunked = BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body));
        // On plain HTTP the first request of a connection offers an upgrade to h2c.
        send("HttpClient", client, arguments, BodyPublishers.ofByteArray(body), false);
        send("HttpClient again", client, arguments, BodyPublishers.ofByteArray(body), false);
        send("HttpClient, chunked", client, arguments, chunked, false);
        send("HttpClient, Expect", client, arguments, BodyPublishers.ofByteArray(body), true);
        for (boolean streams : new boolean[] {false, true}) {
            HttpURLConnection connection = (HttpURLConnection) new URL(arguments[0]).openConnection();
            if (connection instanceof HttpsURLConnection secure) secure.setSSLSocketFactory(tls.getSocketFactory());
            connection.setDoOutput(true);
            connection.setRequestProperty("X-Hub-Signature-256", arguments[1]);
            if (streams) connection.setChunkedStreamingMode(7);
            try (OutputStream out = connection.getOutputStream()) {
                out.write(body);
            }
            System.out.println(connection.getResponseCode() + " HttpURLConnection" + (streams ? ", chunked" : ""));
        }
    }

    private static void send(String name, HttpClient client, String[] arguments, BodyPublisher body, boolean expects)
            throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
                // Over HTTP/2 the JDK would wait for a 100, which hookgate, like nginx, does not send there.
                .version(expects ? HttpClient.Version.HTTP_1_1 : HttpClient.Version.HTTP_2)
                .header("X-Hub-Signature-256", arguments[1]).expectContinue(expects).POST(body).build();
        System.out.println(client.send(request, BodyHandlers.discarding()).statusCode() + " " + name);
    }

    private static SSLContext tls(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (FileInputStream in = new FileInputStream(file)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }
}
