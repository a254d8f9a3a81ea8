import express from "express";

const app = express();
app.use(express.text({ type: () => true, limit: "25mb" }));

app.post("/webhook", (request, response) => {
  console.log("received", request.body);
  response.json({ received: true });
});

app.listen(process.env.PORT, process.env.HOST);
